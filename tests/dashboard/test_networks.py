"""The pages of networks: training, predictions, descent: what they say is what the result holds."""

import base64
import re

import numpy as np
import pytest
import zarr

import rnla
from rnla.dashboard.confusion import confused
from rnla.dashboard.descent import ended
from rnla.dashboard.page import STYLE
from rnla.dashboard.reading import shown
from rnla.jobs.running import run_job
from tests.dashboard.test_bases import percent, told
from tests.dashboard.test_drawing import decoded
from tests.dashboard.test_report import report

ROWS, COLUMNS = 600, 4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((ROWS, COLUMNS))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1), X[:, :2] ** 2


@pytest.fixture(scope="module")
def room(tmp_path_factory, data):
    """Stores, networks and predictions, each made once."""
    place = tmp_path_factory.mktemp("networks")
    for name, values in zip(("X", "y", "Y"), data, strict=True):
        zarr.create_array(str(place / name), data=values, chunks=(100, *values.shape[1:]))
    zarr.create_array(str(place / "large"), data=(data[0] * 200 + 500), chunks=(100, COLUMNS))
    given = {"labels": str(place / "y"), "outputs": 3, "hidden": [16], "batch": 20}
    numbers = {"labels": str(place / "Y"), "outputs": 2, "loss": "square", "hidden": [16], "batch": 20}
    made = {
        "early": ("train", "X", given | {"epochs": 60, "patience": 2, "learning_rate": 0.3}),
        "late": ("train", "X", given | {"epochs": 40, "learning_rate": 0.3}),
        "dead": ("train", "large", given | {"epochs": 2, "standardise": False, "clip": 1.0}),
        "none held": ("train", "X", given | {"epochs": 2, "validation": 0}),
        "numbers": ("train", "X", numbers | {"epochs": 5, "learning_rate": 0.02}),
        "classes": ("predict", "X", {"network": str(place / "early"), "labels": str(place / "y")}),
        "unscored": ("predict", "X", {"network": str(place / "early")}),
        "values": ("predict", "X", {"network": str(place / "numbers"), "labels": str(place / "Y")}),
    }
    for name, (pipeline, store, options) in made.items():
        run_job(pipeline, place / store, place / name, options)
    return place


def page_of(room, name):
    page, text = report(room / name)
    found = shown(room / name)
    return told(page), text, found, page


def test_training_is_told_by_the_epoch_that_was_kept_and_the_last(room):
    rows, text, found, page = page_of(room, "early")
    proof, arrays = found.certificate, found.arrays
    kept, last = proof["stopped_at"], proof["epochs"]
    assert kept < last
    assert f"those of epoch {kept} of {last}." in text
    assert f"they decide {percent(proof['validation_accuracy'])} rightly" in text
    assert f"{percent(float(arrays['accuracy'][kept - 1]))} were right in that epoch" in text
    assert f"In the last epoch, {last}: held out" in text
    assert f"<span>epoch {kept} of {last}</span>" in page
    assert "(cross-entropy, nats, the mean of a sample)" in text
    assert "loss (cross-entropy, nats)" in page
    assert f"kept: epoch {kept}" in page
    assert any(row[:1] == ["taken for"] for row in rows)


def test_the_epoch_that_was_best_is_told_where_another_was_kept(room):
    _, text, found, page = page_of(room, "late")
    losses = found.arrays["validation_loss"]
    best = int(losses.argmin()) + 1
    assert found.certificate["stopped_at"] == losses.size != best
    assert f"The loss held out was least in epoch {best}:" in text
    assert "with patience that epoch would have been kept" in text
    assert f"lowest held out: epoch {best}" in page


def test_a_baseline_stands_beside_and_a_network_that_learned_nothing_is_remarked(room):
    _, text, found, page = page_of(room, "dead")
    counts = found.arrays["confusion"].sum(axis=1)
    share = percent(counts.max() / counts.sum())
    assert f"always naming class {counts.argmax()} would decide {share}" in text
    assert f"This is no better than always naming class {counts.argmax()}: scale the columns, or lower" in text
    assert "class='bad'" in page
    assert "no better" not in page_of(room, "early")[1]


def test_numbers_are_told_beside_the_spread_of_their_targets(room, data):
    _, text, found, _ = page_of(room, "numbers")
    held = float(found.arrays["baseline"])
    assert held == pytest.approx(0.5 * data[2].var(axis=0).sum(), rel=0.5)  # of the samples held out
    assert f"always naming the mean of the targets would leave {held:.3f}" in text
    assert "half the squared error" in text


def test_nothing_is_said_of_others_where_no_samples_were_held_out(room):
    _, text, found, _ = page_of(room, "none held")
    assert "No samples were held out" in text
    assert "always naming" not in text.partition("What it cost")[0]
    assert "baseline" not in found.arrays


@pytest.mark.parametrize("name", ["early", "classes", "values"])
def test_no_certificate_of_an_error_is_spoken_of(room, name):
    _, text, _, page = page_of(room, name)
    assert "certificate speaks" not in text
    assert "What the numbers mean" in page
    assert "columns of a block" not in page
    assert "rnla fingerprint" in text


def test_plans_of_training_are_told_in_its_own_words(room):
    rows, text, found, _ = page_of(room, "early")
    plan = found.record["plan"]
    assert ["batch", "20"] in rows
    assert ["tasks", f"{plan['tasks']:,} in {plan['sweeps']:,} rounds"] in rows
    assert ": 1 round an epoch, of 27 steps, each with a checkpoint; on a cluster about" in text
    assert "1 rounds" not in text


def test_what_was_asked_of_steps_stands_in_their_table(tmp_path, room):
    given = {"labels": str(room / "y"), "outputs": 3, "epochs": 2, "warmup": 20, "weight_decay": 1e-4, "clip": 5.0}
    run_job("train", room / "X", tmp_path / "out", given | {"averaging": True})
    rows, text, _, _ = page_of(tmp_path, "out")
    assert ["warm-up", "20 steps, from zero"] in rows
    assert ["weight decay", "10⁻⁴"] in rows
    assert ["largest norm of a gradient", "5.00"] in rows
    assert ["averaged over", "rounds of the second half"] in rows
    assert "It grows over the first 20 steps." in text
    names = {row[0] for row in page_of(room, "early")[0]}
    assert not names & {"warm-up", "averaged over", "largest norm of a gradient", "outer momentum, rate"}


def test_predictions_have_a_page_of_their_own(room, data):
    rows, text, found, page = page_of(room, "classes")
    proof, confusion = found.certificate, found.arrays["confusion"]
    assert "Predictions for X" in text
    assert "The network early of widths 4, 16, 3 at each row of" in text
    assert f"it decides {percent(proof['accuracy'])} rightly" in text
    share = percent(np.bincount(data[1]).max() / ROWS)
    assert f"always naming class {np.bincount(data[1]).argmax()} would decide {share}" in text
    for i, decided in enumerate(found.arrays["class_counts"].tolist()):
        right = int(confusion[i, i])
        rightly = percent(right / decided) if decided else ""
        seen = [f"{int(confusion[i].sum())}", percent(right / confusion[i].sum()), rightly]
        assert [str(i), f"{decided}", percent(decided / ROWS), *seen] in rows
        assert [str(i), *(f"{count}" if count else "·" for count in confusion[i]), seen[1]] in rows
    label = zarr.open_array(str(room / "classes" / "label"))[:10, 0]
    first = rows.index(["row", "class", "output 0", "output 1", "output 2"]) + 1
    assert [row[:2] for row in rows[first : first + 10]] == [[str(i), str(value)] for i, value in enumerate(label)]
    assert page.count('class="bar c1"') == 3


def test_a_confusion_has_the_width_that_it_needs_and_columns_of_one_width():
    names = [str(i) for i in range(10)]
    for count, room in ((100, 3), (1000, 5)):  # 1,000
        page = confused(np.diag(np.full(10, count)), names, "Rows")
        assert page.index('<div class="beside">') < page.index(f'<table class="even" style="--room: {room}ch">')
    assert ".beside { display: flex; flex-wrap: wrap;" in STYLE
    assert "min-width: calc(var(--room)" in STYLE


def test_the_page_of_a_network_of_two_inputs_has_its_pieces_in_the_units_of_the_data(tmp_path, room, data):
    X = data[0][:, :2] * [100, 1] + [1000, 0]
    zarr.create_array(str(tmp_path / "X"), data=X)
    given = {"labels": str(room / "y"), "outputs": 3, "hidden": [9], "epochs": 1}
    run_job("train", tmp_path / "X", tmp_path / "out", given)
    _, text, _, page = page_of(tmp_path, "out")
    found, half = rnla.load(tmp_path / "out"), 2.5 * X.std(axis=0)
    box = list(zip(X.mean(axis=0) - half, X.mean(axis=0) + half, strict=True))
    assert f"{rnla.nn.pieces(found, box).count} activation regions (at most 46)" in page
    assert ">1,000</text>" in page[page.index("Linear pieces") :]
    assert "output 0 rises by" in text
    run_job("train", tmp_path / "X", tmp_path / "wide", given | {"hidden": [65]})
    assert "Linear pieces" not in page_of(tmp_path, "wide")[1]
    assert "Linear pieces" not in page_of(room, "early")[1]


def test_many_classes_are_drawn_as_colours_right_ones_blue_and_wrong_ones_red():
    found = np.diag(np.arange(40))  # class 0 does not occur
    found[7, 9] = 7  # a half of its class
    page = confused(found, [str(i) for i in range(40)], "Rows")
    assert "the darkest red stands for 50.0\N{NO-BREAK SPACE}%" in page
    assert "<code>confusion</code>" in page
    pixels, colours = decoded(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]))
    assert (pixels[0] == 0).all()  # grey
    at = {tuple(at): pixels[tuple(at)] for at in ((1, 1), (7, 7), (7, 9), (7, 8))}
    assert [at[place] for place in ((1, 1), (7, 9), (7, 8))] == [1, 255, 128]
    assert 1 < at[7, 7] < 128
    assert colours[1][2] > colours[1][0]
    assert colours[255][0] > colours[255][2]
    assert "<image" not in confused(np.eye(400, dtype=int), [str(i) for i in range(400)], "Rows")


def test_amounts_with_their_units_stand_in_one_line_of_a_tile(room):
    page = page_of(room, "early")[3]
    sizes = re.findall(r'<b( class="long")?>([\d.]+ MB)</b>', page)
    assert all(small for small, size in sizes if len(size) > 7)
    assert sizes


def test_predictions_without_targets_say_so(room):
    rows, text, _, _ = page_of(room, "unscored")
    assert "it is not known: --labels scores the values" in text
    assert ["class", "decided", "of all"] in rows
    assert "What was taken for what" not in text


def test_numbers_that_are_predicted_are_drawn_and_scored(room):
    rows, text, found, page = page_of(room, "values")
    proof = found.certificate
    assert f"Its root mean square error is {proof['rmse']:.4f} over 600 rows" in text
    assert f"R² is {proof['r2']:.4f} on average over the outputs" in text
    assert ["output", "least", "mean", "largest", "deviation", "R²", "error"] in rows
    counted = [int(count) for count in re.findall(r"<title>(\d+) rows</title>", page)]
    assert sum(counted) == 2 * ROWS
    assert "Output 0" in page


def test_one_number_for_each_row_has_its_spread_beside_the_bars(tmp_path, data):
    network = rnla.nn.save(rnla.nn.Network((COLUMNS, 3, 1), seed=1), tmp_path / "net.zarr")
    run_job("predict", data[0], tmp_path / "p", {"network": str(network)})
    rows, _, _, page = page_of(tmp_path, "p")
    assert ["", "output 0"] in rows
    assert any(row[0] == "largest" and len(row) == 2 for row in rows)
    assert '<div class="pair"><figure><h3>How they are spread</h3>' in page


def test_the_page_of_a_descent_that_diverged_has_the_frame_of_a_failure(tmp_path, room):
    options = {"labels": str(room / "Y"), "outputs": 2, "loss": "square", "batch": 20, "learning_rate": 50.0}
    run_job("train", room / "X", tmp_path / "out", options)
    assert '<div class="say missed">' in page_of(tmp_path, "out")[3]
    assert '<div class="say">' in page_of(room, "early")[3]


@pytest.mark.parametrize("outputs", [1, 40])
def test_many_classes_or_signs_are_told(tmp_path, data, outputs):
    network = rnla.nn.save(rnla.nn.Network((COLUMNS, outputs), seed=1), tmp_path / "net.zarr")
    y = np.where(data[1] > 0, 1, -1) if outputs == 1 else data[1]
    zarr.create_array(str(tmp_path / "y"), data=y)
    run_job(
        "predict", data[0], tmp_path / "p", {"network": str(network), "labels": str(tmp_path / "y"), "loss": "hinge"}
    )
    rows, text, _, _ = page_of(tmp_path, "p")
    if outputs == 1:
        assert ["class", "-1", "1", "right"] in rows
    else:
        assert "The 20 largest of 40 classes." in text
        assert "28 outputs more are not shown" in text


def test_a_network_that_is_no_better_than_one_class_is_told_as_such(tmp_path, data):
    network = rnla.nn.Network((COLUMNS, 3), seed=1)
    rnla.nn.save(network.with_parameters(0 * network.parameters), tmp_path / "net.zarr")
    zarr.create_array(str(tmp_path / "y"), data=data[1])
    options = {"network": str(tmp_path / "net.zarr"), "labels": str(tmp_path / "y"), "loss": "cross-entropy"}
    run_job("predict", data[0], tmp_path / "p", options)
    assert "The network is no better." in page_of(tmp_path, "p")[1]


@pytest.fixture(scope="module")
def ill(tmp_path_factory):
    """A problem with fast falling singular values, its truth, and b with noise."""
    place, n, rng = tmp_path_factory.mktemp("ill"), 30, np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    A = (U * 0.6 ** np.arange(n)) @ V.T
    x = V @ (0.8 ** np.arange(n))
    noise = rng.standard_normal(n)
    noise *= 1e-2 * np.linalg.norm(A @ x) / np.linalg.norm(noise)
    for name, values in {"A": A, "b": A @ x + noise, "x": x}.items():
        zarr.create_array(str(place / name), data=values)
    options = {"labels": str(place / "b"), "truth": str(place / "x"), "noise": 1e-2, "standardise": False}
    run_job("descent-study", place / "A", place / "out", options | {"steps": 5000})
    return place


def test_semi_convergence_is_told_with_its_numbers(ill):
    rows, text, found, page = page_of(ill, "out")
    errors, steps = found.arrays["true_errors_gradient"], found.arrays["steps_gradient"]
    rate = found.certificate["rates"]["gradient"]
    seen, best = rate["truth"], int(errors.argmin())
    assert (seen["least"], seen["at"], seen["end"]) == (errors[best], steps[best], errors[-1])
    assert seen["stopped"] == errors[np.abs(steps - rate["stopped"]).argmin()]
    assert 0 < rate["stopped"] < seen["at"] < 5000
    assert f"By gradient the error against the truth is least, {seen['least']:.3f}"[:70] in text
    assert f"at step {rate['stopped']:,}, where the residual is as small as the noise" in text
    assert "Least error, gradient" in page
    assert "No rate is seen: by theory" in text
    assert f"<title>stop of gradient: step {rate['stopped']:,}</title></circle>" in page
    assert "Ringed: where the residual is first as small as the noise." in text
    assert ["method", "least error", "at step", "error at the stop", "stop at step", "error at the end"] in rows
    floor = max(float(y) for y in re.findall(r'<text class="name [^>]* y="([\d.]+)"', page))
    assert floor + 4 < min(float(y) for y in re.findall(r'y="([\d.]+)" class="tick mid"', page)) - 11  # no letters meet
    told_by_certificate = str(rnla.load(ill / "out").certificate)
    assert f"least {seen['least']:.4g} at step {seen['at']:,}, {seen['stopped']:.4g} at the stop" in told_by_certificate


def test_steps_at_which_all_is_rounding_are_not_drawn(tmp_path, data):
    zarr.create_array(str(tmp_path / "X"), data=data[0])
    options = {"label_column": 3, "steps": 2000, "epochs": 2, "seeds": 2}
    run_job("descent-study", tmp_path / "X", tmp_path / "out", options)
    _, text, found, page = page_of(tmp_path, "out")
    assert ended(found) < 100
    assert "The steps that follow are rounding." in text
    first = page[page.index("Error against steps") :]
    assert "2,000" not in first[: first.index("</svg>")]
    assert ended(shown(tmp_path / "out")) > max(
        found.arrays[f"steps_{name}"][np.flatnonzero(found.arrays[f"errors_{name}"] < 1e-12)[0]]
        for name in ("gradient", "accelerated", "heavy_ball")
    )


def test_a_study_that_does_not_end_is_drawn_whole(ill):
    assert np.isinf(ended(shown(ill / "out")))
