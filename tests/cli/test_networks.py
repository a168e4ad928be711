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


def test_the_table_of_epochs_has_the_one_that_was_kept_and_shares_in_percent(trained, command, room, tmp_path):
    words = ["--labels", room / "y", "--outputs", 3, "--epochs", 60, "--patience", 12, "--learning-rate", 0.3]
    _, _, found = trained(*words)
    proof = found.attributes["rnla"]["certificate"]
    kept, last = proof["stopped_at"], proof["epochs"]
    for lines in (3, 4, 20, last):
        page = command("show", tmp_path / "net.zarr", "--modes", lines).stdout
        table = [line.split() for line in page[page.index("validation accuracy") :].splitlines()[1:]]
        rows = {
            int(line[0]): line
            for line in table[: next(i for i, line in enumerate(table) if not line)]
            if line[0].isdigit() and line[1] != "more:"
        }
        assert {kept, last} <= set(rows)
        assert len(rows) <= lines
        assert rows[kept][4] == f"{found.arrays['validation_accuracy'][kept - 1]:.2%}"
        assert (f"{last - len(rows)} more: --modes {last}" in page) == (len(rows) < last)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--labels", "y", "--label-column", 1), "--labels y and --label-column 1 are both given: leave one of them"),
        ((), "give --labels, the place of the targets, or --label-column"),
        (("--labels", "Y1"), "these are numbers and no classes: take --loss square, with an output for each number"),
        (("--labels", "y", "--batch", 451), "batch=451 is more than the 450 samples to train on: take a batch of at"),
        (("--labels", "y", "--batch", 451, "--replicas", 451), "take fewer replicas"),
        (("--labels", "y", "--outputs", None), "train needs --outputs (classes, or numbers in a target): give it a"),
    ],
)
def test_refusals_of_training_name_the_flag_and_the_cure(command, room, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(room)
    zarr.create_array(str(room / "Y1"), data=np.full(ROWS, 0.5), overwrite=True)
    words = words[:-2] if None in words else ("--outputs", 3, *words)
    done = command("run", "train", "X", *words, "--out", tmp_path / "out.zarr")
    assert done.exit_code == 2
    assert message in done.stderr


def test_one_entry_that_is_no_number_is_told_of_training_alone(command, room, tmp_path):
    X = np.ones((ROWS, COLUMNS))
    X[7, 2] = np.nan
    zarr.create_array(str(tmp_path / "X"), data=X)
    line = ["run", "train", tmp_path / "X", "--labels", room / "y", "--outputs", 3, "--out", tmp_path / "out.zarr"]
    told = command(*line).stderr
    assert "error: 1 entry is NaN or infinite; first at" in told
    assert "--missing impute-mean, where the job has that option" in told
    assert "interpolative" not in told
