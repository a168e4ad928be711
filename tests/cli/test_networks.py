"""Networks on the command line: what is printed of plans, training, predictions and descent."""

import json

import numpy as np
import pytest
import zarr

import rnla
from rnla.store.results import read_result

ROWS, COLUMNS = 500, 5


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("room"), np.random.default_rng(8)
    X = rng.standard_normal((ROWS, COLUMNS))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
    arrays = {"X": X, "y": y, "Y": X[:, :2] ** 2, "both": np.column_stack([X, y]), "large": X * 200 + 500}
    for name, values in arrays.items():
        zarr.create_array(str(place / name), data=values, chunks=(100, *values.shape[1:]))
    return place


@pytest.fixture
def trained(command, room, tmp_path):
    def train(*words, store="X", out="net.zarr"):
        line = ["train", room / store, "--hidden", 8, "--batch", 20, *words, "--out", tmp_path / out]
        done = command("run", *line)
        assert done.exit_code == 0, done.stderr
        return done.stderr, command("show", tmp_path / out).stdout, read_result(tmp_path / out)

    return train


def rows_of(page):
    """Names and values that were printed, the first of each name."""
    found = {}
    for line in page.splitlines()[1:]:
        found.setdefault(line[:14].strip(), line[15:])
    return found


def seen(found, epoch, name=""):
    loss, right = (float(found.arrays[f"{name}{kind}"][epoch - 1]) for kind in ("loss", "accuracy"))
    return f"{loss:.4g} ({right:.2%} right)"


def test_numbers_of_one_epoch_are_told_together(trained, room):
    line, page, found = trained(
        "--labels", room / "y", "--outputs", 3, "--epochs", 60, "--patience", 2, "--learning-rate", 0.3
    )
    proof = found.attributes["rnla"]["certificate"]
    kept, last = proof["stopped_at"], proof["epochs"]
    assert kept < last
    both = f"loss {seen(found, kept)}, held out {seen(found, kept, 'validation_')}"
    assert line.startswith(f"train done, epoch {kept} of {last}: {both}, ")
    rows = rows_of(page)
    assert rows["kept"] == f"epoch {kept} of {last}, stopped early: {both} of 50 samples"
    ends = f"loss {seen(found, last)}, held out {seen(found, last, 'validation_')}"
    assert rows["last"] == f"epoch {last}: {ends}"
    assert rows["loss"] == "cross-entropy, nats; the mean of a sample"
    assert "loss (cross-entropy, nats) of the epochs" in page


def test_the_best_epoch_is_told_where_nothing_kept_it(trained, room):
    _, page, found = trained("--labels", room / "y", "--outputs", 3, "--epochs", 40, "--learning-rate", 0.3)
    losses = found.arrays["validation_loss"]
    best = int(losses.argmin()) + 1
    assert best < losses.size
    told = f"loss {seen(found, best)}, held out {seen(found, best, 'validation_')}; --patience keeps it"
    assert rows_of(page)["best"] == f"epoch {best} by the loss held out: {told}"


def test_a_dead_network_is_remarked_with_the_baseline(trained, room):
    words = ["--labels", room / "y", "--outputs", 3, "--epochs", 2, "--no-standardise", "--clip", 1]
    line, page, found = trained(*words, store="large")
    counts = found.arrays["confusion"].sum(axis=1)
    largest, rows = int(counts.argmax()), rows_of(page)
    remark = f"no better than always naming class {largest}: scale the columns, or lower the learning rate"
    assert rows["remark"] == remark
    assert f"({remark})" in line
    assert rows["baseline"].startswith(f"always naming class {largest}: {counts.max() / 50:.2%} right; a loss of ")
    _, page, _ = trained("--labels", room / "y", "--outputs", 3, "--epochs", 9, out="alive.zarr")
    assert "remark" not in rows_of(page)


def test_numbers_are_told_with_the_unit_of_their_loss(trained, room):
    words = ["--labels", room / "Y", "--outputs", 2, "--loss", "square", "--learning-rate", 0.01]
    _, page, found = trained(*words, "--epochs", 3)
    rows = rows_of(page)
    assert rows["loss"] == "half the squared error; the mean of a sample"
    assert rows["baseline"] == (
        f"always naming the mean of the targets; a loss of {float(found.arrays['baseline']):.4g}"
    )


@pytest.mark.parametrize(("epochs", "rounds"), [(1, "1 round of"), (4, "4 rounds of")])
def test_a_plan_of_training_speaks_of_rounds_batches_and_blocks(command, room, epochs, rounds):
    line = ["train", room / "X", "--labels", room / "y", "--outputs", 3, "--epochs", epochs]
    done = command("plan", *line)
    rows = rows_of(done.stdout)
    assert rows["passes"] == f"2, and {rounds} steps at most"
    assert rows["tasks"].endswith("(2 a round)")
    assert ": 1 round an epoch, of 8 steps, each with a checkpoint; on a cluster nearly all of the" in rows["method"]
    assert "block" in rows
    assert not {"panel", "swept along"} & set(rows)
    assert "sweep" not in done.stdout


def test_rounds_of_replicas_are_averages_too(command, room):
    line = ["train", room / "X", "--labels", room / "y", "--outputs", 3, "--replicas", 2, "--batch", 10]
    told = rows_of(command("plan", *line).stdout)["method"]
    assert "4 rounds an epoch, of 6 steps, each with a checkpoint and an average of the replicas; on a cluster" in told
    assert told.endswith("scheduling: the data is small, and one process without a cluster is faster")
    told = rows_of(command("plan", *line, "--local-steps", 3).stdout)["method"]
    assert told.endswith("nearly all of the time goes into scheduling: take more local steps")


def test_a_plan_in_python_has_the_words_of_the_command_line(command, room):
    options = {"labels": str(room / "y"), "outputs": 3, "epochs": 1}
    told = command("plan", "train", room / "X", "--labels", room / "y", "--outputs", 3, "--epochs", 1).stdout
    plan = rnla.plan("train", str(room / "X"), **options)
    assert [" ".join(line.split()) for line in repr(plan).splitlines()][3:-4] == [
        " ".join(line.split()) for line in told.splitlines()
    ][3:-4]
    assert "<td>2, and 1 round of steps at most</td>" in plan._repr_html_()
    assert " a sweep, 1 span)" in repr(rnla.plan("svd", np.ones((50, 4)), 2))


def test_predictions_are_scored_on_the_terminal(command, trained, room, tmp_path):
    trained("--labels", room / "y", "--outputs", 3, "--epochs", 5)
    line = ["predict", room / "X", "--network", tmp_path / "net.zarr", "--labels", room / "y"]
    planned = rows_of(command("plan", *line).stdout)
    assert "its values are compared with the labels, which are read once" in planned["method"]
    assert planned["passes"] == "1 (1 sweep)"
    done = command("run", *line, "--out", tmp_path / "p.zarr")
    proof = read_result(tmp_path / "p.zarr").attributes["rnla"]["certificate"]
    assert done.stderr.startswith(f"predict done, {proof['accuracy']:.2%} of 500 rows right, 1 pass")
    page = command("show", tmp_path / "p.zarr").stdout
    rows = rows_of(page)
    assert rows["right"] == f"{proof['accuracy']:.2%} of 500 rows"
    base = f"class {proof['largest_class']}: {proof['largest_share']:.2%}"
    assert rows["baseline"] == f"always naming {base} right"
    assert rows["loss"] == f"{proof['mean_loss']:.4g} (cross-entropy, nats; the mean of a row)"
    assert rows["network"].startswith(f"{tmp_path}/net.zarr, 5 x 8 x 3 float32")
    listed = json.loads(command("show", tmp_path / "p.zarr", "--json").stdout)["classes"]
    found = read_result(tmp_path / "p.zarr").arrays
    assert [row["decided"] for row in listed] == found["class_counts"].tolist()
    assert [row["known"] for row in listed] == found["confusion"].sum(axis=1).tolist()
    assert "1 more: --modes 3" in command("show", tmp_path / "p.zarr", "--modes", 2).stdout


def test_the_store_of_the_training_is_predicted_with_its_column_of_labels(command, trained, room, tmp_path):
    trained("--label-column", COLUMNS, "--outputs", 3, "--epochs", 3, store="both")
    line = ["run", "predict", room / "both", "--network", tmp_path / "net.zarr", "--out", tmp_path / "p.zarr"]
    done = command(*line)
    assert done.exit_code == 2
    assert "the matrix has 6 columns; if one of them holds the labels, give --label-column, its index" in done.stderr
    assert "(--label-column 5 in training)" in done.stderr
    assert command(*line, "--label-column", COLUMNS).exit_code == 0
    rows = rows_of(command("show", tmp_path / "p.zarr").stdout)
    assert rows["labels"] == "column 5 of the matrix, which was left out of what the network sees"
    assert "right" in rows


def test_numbers_are_scored_on_the_terminal(command, trained, room, tmp_path):
    words = ["--labels", room / "Y", "--outputs", 2, "--loss", "square", "--learning-rate", 0.01, "--epochs", 3]
    trained(*words)
    line = ["predict", room / "X", "--network", tmp_path / "net.zarr", "--labels", room / "Y"]
    done = command("run", *line, "--out", tmp_path / "p.zarr")
    proof = read_result(tmp_path / "p.zarr").attributes["rnla"]["certificate"]
    assert f", R^2 {proof['r2']:.4g}, root mean square error {proof['rmse']:.4g}, " in done.stderr
    rows = rows_of(command("show", tmp_path / "p.zarr").stdout)
    assert rows["R^2"] == f"{proof['r2']:.4g} on average over outputs, of 500 rows"
    assert rows["error"] == f"{proof['rmse']:.4g}, root mean square; of always the mean {proof['spread']:.4g}"
    listed = json.loads(command("show", tmp_path / "p.zarr", "--json").stdout)["outputs"]
    assert [row["rmse"] for row in listed] == read_result(tmp_path / "p.zarr").arrays["rmse"].tolist()


def test_semi_convergence_is_told_on_the_terminal(command, tmp_path):
    rng, n = np.random.default_rng(1), 30
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    A, x = (U * 0.6 ** np.arange(n)) @ V.T, V @ (0.8 ** np.arange(n))
    b = A @ x
    for name, values in {"A": A, "b": b + 1e-2 * np.linalg.norm(b) * U[:, -1], "x": x}.items():
        zarr.create_array(str(tmp_path / name), data=values)
    line = ["run", "descent-study", tmp_path / "A", "--labels", tmp_path / "b", "--truth", tmp_path / "x"]
    done = command(*line, "--noise", 0.02, "--no-standardise", "--steps", 3000, "--out", tmp_path / "r.zarr")
    assert done.exit_code == 0, done.stderr
    page = command("show", tmp_path / "r.zarr").stdout
    rate = rnla.load(tmp_path / "r.zarr").certificate.rates["gradient"]
    truth = rate["truth"]
    stop, rest = f"{truth['stopped']:.4g} at the stop", f"{truth['end']:.4g} at step 3,000, against the truth"
    assert f"  error        least {truth['least']:.4g} at step {truth['at']:,}, {stop}, {rest}" in page
    assert f"  stop         the residual is as small as the noise at step {rate['stopped']:,}" in page
    assert "no rate is seen yet: by theory" in rows_of(page)["gradient"]
