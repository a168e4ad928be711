"""Reports of trained networks: losses and accuracies by epoch, step sizes, what was taken for what, speed."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis, counting
from rnla.dashboard.curves import Curve
from rnla.dashboard.page import Section, Table, Tile, figure, folded, html, pair
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, counted, known, number, percent
from rnla.dashboard.words import matrix, store_name

MOST_CLASSES = 30  # whose confusion is shown
MEANING = """
<p><b>Loss.</b> The mean over the samples of an epoch, each before the step that it belongs to: it is that of a network
that still changes. <b>Held out.</b> Samples that were chosen by the seed and never trained on; their loss after each
epoch is that of the network as it then was. When it falls no more while the other one does, the network learns the
samples and not what they have in common; with patience, the parameters of its lowest value are kept.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of train."""
    c = result.certificate
    return Account(
        title=f"Network trained on {store_name(result)}",
        what_html=what(result),
        wrong_html=wrong(result),
        numbers=numbers(result),
        sections=(
            Section("Epochs", epochs(result)),
            Section("Steps", steps(result)),
            *((Section("What was taken for what", confused(result)),) if "confusion" in result.arrays else ()),
        ),
        meaning_html=MEANING,
        wrong_heading="How good it is",
        cure="more epochs" if not c.get("stopped_early") else "",
    )


def widths(result: Shown) -> list[int]:
    """Inputs, hidden layers, outputs."""
    layers = [result.arrays[f"weights_{k}"].shape for k in range(1, 1 + depth(result))]
    return [layers[0][0], *(shape[1] for shape in layers)]


def depth(result: Shown) -> int:
    """Affine maps."""
    return sum(name.startswith("weights_") for name in result.arrays)


def what(result: Shown) -> str:
    """What was trained."""
    config, sizes = result.config, widths(result)
    count = sum(result.arrays[name].size for name in result.arrays if name.startswith(("weights_", "biases_")))
    replicas = int(config.get("replicas") or 1)
    side = f" by {replicas} replicas side by side" if replicas > 1 else ""
    spelt = ", ".join(f"{size:,}" for size in sizes)
    return (
        f"A ReLU network of widths <b>{spelt}</b> ({count:,} parameters), fitted to "
        f"{matrix(result)} with the {config.get('loss')} loss{side}: {config.get('optimizer')}, batches of "
        f"{config.get('batch')}, {counted(int(result.certificate.get('epochs', 0)), 'epoch')}."
    )


def wrong(result: Shown) -> str:
    """Losses and accuracies in words."""
    c = result.certificate
    seen = f"Over the last epoch the loss was {number(c.get('loss'), 4)}"
    seen += (
        f", and {percent(c['accuracy'])} of the samples were decided rightly. " if known(c.get("accuracy")) else ". "
    )
    if not known(c.get("validation_loss")):
        return f"{seen}No samples were held out, so nothing is known of others."
    held = f"Of {counted(int(c['held_out']), 'sample')} held out, the network that was kept (epoch {c['stopped_at']})"
    if known(c.get("validation_accuracy")):
        return f"{seen}{held} decides <b>{percent(c['validation_accuracy'])}</b> rightly."
    return f"{seen}{held} has a loss of <b>{number(c['validation_loss'], 4)}</b>."


def numbers(result: Shown) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    c = result.certificate
    tiles: list[Tile] = []
    if known(c.get("validation_accuracy")):
        tiles.append(("Held out, right", percent(c["validation_accuracy"]), f"of {c['held_out']:,}"))
    if known(c.get("validation_loss")):
        tiles.append(("Held out, loss", number(c["validation_loss"], 4), f"epoch {c['stopped_at']}"))
    if known(c.get("accuracy")):
        tiles.append(("Trained on, right", percent(c["accuracy"]), "last epoch"))
    tiles.append(("Epochs", f"{c.get('epochs', 0):,}", "stopped early" if c.get("stopped_early") else "as configured"))
    tiles.append(("Speed", f"{c.get('samples_per_second', 0):,.0f}", "samples a second"))
    return tuple(tiles)


def line(name: str, values: Array, style: str, *, share: bool = False) -> Curve:
    """A curve over the epochs."""
    at = np.flatnonzero(np.isfinite(values))
    end = float(values[at[-1]])
    ys = 100 * values[at] if share else values[at]
    return Curve(name, at + 1, ys, style, percent(end) if share else number(end, 3))


def epochs(result: Shown) -> str:
    """Losses and accuracies against epochs, and a table."""
    arrays, c = result.arrays, result.certificate
    count = arrays["loss"].size
    x = Axis("epoch", 0.5, count + 0.5, marks=tuple(counting("", count).ticks))
    stopped = int(c.get("stopped_at") or count)
    mark = (stopped, f"kept: epoch {stopped}") if stopped < count else None
    losses = [line("trained on", arrays["loss"], "c1")]
    if np.isfinite(arrays["validation_loss"]).any():
        losses.append(line("held out", arrays["validation_loss"], "c2"))
    y = curves.values_axis("loss", np.concatenate([curve.ys for curve in losses]))
    figures = [figure(curves.comparison(losses, x, y, "Loss by epoch", mark=mark), "Mean loss of a sample.", "Loss")]
    shares = [
        line(name, arrays[array], style, share=True)
        for name, array, style in (("trained on", "accuracy", "c1"), ("held out", "validation_accuracy", "c2"))
        if np.isfinite(arrays[array]).any()
    ]
    if shares:
        least = min(float(curve.ys.min()) for curve in shares)
        y = Axis("decided rightly (%)", max(0.0, least - 0.1 * (100 - least) - 0.5), 100)
        plot = curves.comparison(shares, x, y, "Accuracy by epoch", mark=mark)
        figures.append(figure(plot, "Share of the samples that were decided rightly.", "Accuracy"))
    table = folded(Table(*rows_of(arrays)), "Epochs")
    return (pair(*figures) if len(figures) == 2 else pair(figures[0], f"<div>{table}</div>")) + (
        table if len(figures) == 2 else ""
    )


COLUMNS = {  # of the table of epochs: head, whether it is a share
    "loss": ("loss", False),
    "accuracy": ("right", True),
    "validation_loss": ("loss, held out", False),
    "validation_accuracy": ("right, held out", True),
    "learning_rate": ("learning rate", False),
}


def rows_of(arrays: dict[str, Array]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of epochs."""
    kept = {name: column for name, column in COLUMNS.items() if np.isfinite(arrays[name]).any()}
    rows = []
    for i in range(arrays["loss"].size):
        values = [(float(arrays[name][i]), share) for name, (_, share) in kept.items()]
        rows.append([f"{i + 1:,}", *(percent(value, 4) if share else number(value, 4) for value, share in values)])
    return ["epoch", *(head for head, _ in kept.values())], rows


def steps(result: Shown) -> str:
    """Step sizes, and what a round is."""
    arrays, c, config = result.arrays, result.certificate, result.config
    replicas = int(config.get("replicas") or 1)
    per_round = number(c["steps"] / c["rounds"], 3) if c.get("rounds") else ""
    batch, side, averaged = f"{config.get('batch'):,}", "1", ""
    if replicas > 1:
        averaged = "gradients" if config.get("local_steps") == 1 else "parameters"
        batch, side = f"{replicas:,} {TIMES} {batch}", f"{replicas:,}, whose {averaged} are averaged"
    rows = [
        ("steps", f"{c.get('steps', 0):,}"),
        ("rounds, each with a checkpoint", f"{c.get('rounds', 0):,}, of {per_round} steps on average"),
        ("replicas", side),
        ("samples of a step", batch),
        ("momentum", number(config.get("momentum"), 3) if config.get("optimizer") != "adam" else "that of Adam"),
        ("schedule", str(config.get("schedule"))),
        ("sampling", str(config.get("sampling"))),
        ("samples a second", f"{c.get('samples_per_second', 0):,.0f}"),
    ]
    rates = arrays["learning_rate"]
    x = Axis("epoch", 0.5, rates.size + 0.5, marks=tuple(counting("", rates.size).ticks))
    drawn = [line("", rates, "c1")]
    y = Axis("learning rate", 0.0, 1.08 * float(rates.max()))
    plot = figure(
        curves.comparison(drawn, x, y, "Learning rate by epoch"), "At the last step of each epoch.", "Step size"
    )
    return pair(plot, html(Table(("", ""), rows, texts=(0, 1))))


def confused(result: Shown) -> str:
    """How many samples held out of each class were taken for each."""
    found = result.arrays["confusion"]
    classes = len(found)
    worst = sorted(
        ((int(found[i, j]), i, j) for i in range(classes) for j in range(classes) if i != j and found[i, j]),
        reverse=True,
    )[:10]
    often = html(Table(("taken for", "how often", "of its samples"), [
        (f"{i} as {j}", f"{count:,}", percent(count / max(int(found[i].sum()), 1))) for count, i, j in worst
    ], texts=(0,))) if worst else "<p>Every sample held out was decided rightly.</p>"  # fmt: skip
    if classes > MOST_CLASSES:
        return often
    heads = ("class", *(str(j) for j in range(classes)), "right")
    rows = [
        (str(i), *(f"{value:,}" if value else "·" for value in row), percent(row[i] / row.sum()) if row.sum() else "")
        for i, row in enumerate(found)
    ]
    grid = html(Table(heads, rows))
    words = "<p>Samples held out: their classes down, what the network takes them for across.</p>"
    return words + pair(grid, f"<div>{often}</div>")
