"""Reports of trained networks: losses and accuracies by epoch, step sizes, what was taken for what, speed."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import curves, pieces
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis, counting
from rnla.dashboard.confusion import class_names, confused
from rnla.dashboard.curves import Curve
from rnla.dashboard.epochs import Epoch, Epochs, epochs_of
from rnla.dashboard.page import Section, Table, Tile, figure, folded, html, pair
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, number, percent
from rnla.dashboard.words import matrix, store_name
from rnla.tables import counted

MEANING = """
<p><b>Loss.</b> The mean over the samples of an epoch, each before the step that it belongs to: it is that of a network
that still changes. <b>Held out.</b> Samples that were chosen by the seed and never trained on; their loss after each
epoch is that of the network as it then was. When it falls no more while the other one does, the network learns the
samples and not what they have in common; with patience, the parameters of its lowest value are kept.
<b>Without looking.</b> What is had by always naming the largest class of the samples held out, or the mean of their
targets; a loss of cross-entropy, by the shares of the classes.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of train."""
    found = epochs_of(result.record, result.arrays)
    sections = [Section("Epochs", epochs(result, found)), Section("Steps", steps(result))]
    if "confusion" in result.arrays:
        confusion = result.arrays["confusion"]
        named = class_names(len(confusion), signs=result.config.get("outputs") == 1)
        sections.append(Section("What was taken for what", confused(confusion, named, "Samples held out")))
    sections += pieces.section(result)
    return Account(
        title=f"Network trained on {store_name(result)}",
        what_html=what(result, found),
        wrong_html=wrong(found),
        numbers=numbers(result, found),
        sections=tuple(sections),
        meaning_html=MEANING,
        meaning_heading="What the numbers mean",
        wrong_heading="How good it is",
        certified=False,
    )


def widths(result: Shown) -> list[int]:
    """Inputs, hidden layers, outputs."""
    layers = [result.arrays[f"weights_{k}"].shape for k in range(1, 1 + depth(result))]
    return [layers[0][0], *(shape[1] for shape in layers)]


def depth(result: Shown) -> int:
    """Affine maps."""
    return sum(name.startswith("weights_") for name in result.arrays)


def what(result: Shown, found: Epochs) -> str:
    """What was trained."""
    config, sizes = result.config, widths(result)
    count = sum(result.arrays[name].size for name in result.arrays if name.startswith(("weights_", "biases_")))
    replicas = int(config.get("replicas") or 1)
    side = f" by {replicas} replicas side by side" if replicas > 1 else ""
    spelt = ", ".join(f"{size:,}" for size in sizes)
    return (
        f"A ReLU network of widths <b>{spelt}</b> ({count:,} parameters), fitted to "
        f"{matrix(result)} with the {config.get('loss')} loss{side}: {config.get('optimizer')}, batches of "
        f"{config.get('batch')}, {counted(found.last.number, 'epoch')}."
    )


def wrong(found: Epochs) -> str:
    """Losses and accuracies of the epoch that was kept, then of the last or the best one, in words."""
    kept, last, best = found.kept, found.last, found.best
    told = (
        f"The parameters are those of epoch {kept.number:,} of {last.number:,}. {held_out(found)} {trained_on(kept)}."
    )
    if found.diverged:
        return f"<b class='bad'>{escape(found.diverged[:1].upper() + found.diverged[1:])}.</b> {told}"
    if kept.number != last.number:
        return f"{told} In the last epoch, {last.number:,}: {seen(last)}."
    if best is None or best.number == kept.number:
        return told
    return (
        f"{told} The loss held out was least in epoch {best.number:,}: {seen(best)}; with patience that epoch would "
        "have been kept."
    )


def held_out(found: Epochs) -> str:
    """What is known of samples that were held out, beside the baseline."""
    kept, base, unit = found.kept, found.baseline, f"{found.unit}, the mean of a sample"
    if kept.held_loss is None:
        return f"No samples were held out, so nothing is known of others; the loss is {unit}."
    samples, loss = counted(found.held_out, "sample"), number(kept.held_loss, 4)
    told = f"On {samples} held out their loss is <b>{loss}</b> ({unit})"
    if kept.held_right is not None:
        right = f"<b>{percent(kept.held_right)}</b> rightly"
        told = f"Of {samples} held out they decide {right}, with a loss of {loss} ({unit})"
    if found.rmse is not None:
        r2 = "" if found.r2 is None else f", R² {number(found.r2, 4)}"
        told += f"; their root mean square error is {number(found.rmse, 4)} in units of the targets{r2}"
    if base is not None:
        had = f"decide {percent(base.right)}" if base.right is not None else f"leave {number(base.loss, 4)}"
        told += f"; always naming {base.named} would {had}"
    return f"{told}. <b class='bad'>This is {escape(found.remark)}.</b>" if found.remark else f"{told}."


def trained_on(epoch: Epoch) -> str:
    """Numbers of the samples trained on, in a sentence."""
    if epoch.loss is None:
        return "No round was finished, so the loss of the samples trained on is not known"
    loss = number(epoch.loss, 4)
    if epoch.right is None:
        return f"Over the samples trained on it was {loss} in that epoch"
    return f"Of the samples trained on {percent(epoch.right)} were right in that epoch, with a loss of {loss}"


def seen(epoch: Epoch) -> str:
    """Numbers of an epoch, in short."""
    losses = ((epoch.held_loss, epoch.held_right, "held out"), (epoch.loss, epoch.right, "trained on"))
    return ", ".join(
        f"{name} {number(loss, 4)}" + ("" if right is None else f" and {percent(right)} right")
        for loss, right, name in losses
        if loss is not None
    )


def numbers(result: Shown, found: Epochs) -> tuple[Tile, ...]:
    """The numbers that matter, large: those of one epoch, the one that was kept."""
    kept, base = found.kept, found.baseline
    of = f"epoch {kept.number:,} of {found.last.number:,}"
    tiles: list[Tile] = []
    if kept.held_right is not None:
        without = "" if base is None else f"always {base.named}: {percent(base.right)}"
        tiles.append(("Held out, right", percent(kept.held_right), without))
    if kept.held_loss is not None:
        without = of if base is None or base.loss is None else f"without looking: {number(base.loss, 3)}"
        tiles.append(("Held out, loss", number(kept.held_loss, 4), without))
    if found.r2 is not None:
        tiles.append(("Held out, R²", number(found.r2, 4), "of always the mean: 0"))
    if kept.right is not None:
        tiles.append(("Trained on, right", percent(kept.right), of))
    if kept.loss is not None:
        tiles.append(("Trained on, loss", number(kept.loss, 4), found.unit))
    asked = result.config.get("epochs")
    ended = (
        f"of {asked:,}, diverged" if found.diverged and asked else "stopped early" if found.early else "as configured"
    )
    tiles.append(("Epochs", f"{found.last.number:,}", ended))
    speed = result.certificate.get("samples_per_second", 0)
    tiles.append(("Speed", f"{speed:,.0f}", "samples a second"))
    return tuple(tiles)


def line(name: str, values: Array, style: str, *, share: bool = False) -> Curve:
    """A curve over the epochs."""
    at = np.flatnonzero(np.isfinite(values))
    end = float(values[at[-1]])
    ys = 100 * values[at] if share else values[at]
    return Curve(name, at + 1, ys, style, percent(end) if share else number(end, 3))


def lines(arrays: dict[str, Array], of: str, *, share: bool = False) -> list[Curve]:
    """Curves of the samples trained on and of those held out, where there are numbers."""
    known = (("trained on", of, "c1"), ("held out", f"validation_{of}", "c2"))
    return [line(name, arrays[key], style, share=share) for name, key, style in known if np.isfinite(arrays[key]).any()]


def epochs(result: Shown, found: Epochs) -> str:
    """Losses and accuracies against epochs, and a table."""
    arrays, count = result.arrays, found.last.number
    x = Axis("epoch", 0.5, count + 0.5, marks=tuple(counting("", count).ticks))
    marks = [(found.kept.number, f"kept: epoch {found.kept.number}")] if found.kept.number < count else []
    if found.best is not None and found.another:
        marks.append((found.best.number, f"lowest held out: epoch {found.best.number}"))
    losses = lines(arrays, "loss")
    if not losses:
        return "<p>No round was finished, so there is nothing to draw.</p>"
    y = curves.values_axis(f"loss ({found.unit})", np.concatenate([curve.ys for curve in losses]))
    figures = [figure(curves.comparison(losses, x, y, "Loss by epoch", marks=marks), "Mean loss of a sample.", "Loss")]
    shares = lines(arrays, "accuracy", share=True)
    if shares:
        least = min(float(curve.ys.min()) for curve in shares)
        y = Axis("decided rightly (%)", max(0.0, least - 0.1 * (100 - least) - 0.5), 100)
        plot = curves.comparison(shares, x, y, "Accuracy by epoch", marks=marks, below=True)
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
    rounds = f"{c.get('rounds') or 0:,}"
    if c.get("rounds"):
        whole = c["steps"] % c["rounds"] == 0
        per_round = f"{c['steps'] // c['rounds']:,}" if whole else number(c["steps"] / c["rounds"], 3)
        rounds += f", of {per_round} steps{'' if whole else ' on average'}"
    batch, side, averaged = f"{config.get('batch'):,}", "1", ""
    if replicas > 1:
        averaged = "gradients" if config.get("local_steps") == 1 else "parameters"
        batch, side = f"{replicas:,} {TIMES} {batch}", f"{replicas:,}, whose {averaged} are averaged"
    rows = [
        ("steps", f"{c.get('steps', 0):,}"),
        ("rounds, each with a checkpoint", rounds),
        ("replicas", side),
        ("samples of a step", batch),
        ("momentum", number(config.get("momentum"), 3) if config.get("optimizer") != "adam" else "that of Adam"),
        ("schedule", str(config.get("schedule"))),
        ("sampling", str(config.get("sampling"))),
        *extras(config),
        ("samples a second", f"{c.get('samples_per_second', 0):,.0f}"),
    ]
    rates = arrays["learning_rate"]
    x = Axis("epoch", 0.5, rates.size + 0.5, marks=tuple(counting("", rates.size).ticks))
    drawn = [line("", rates, "c1")]
    y = Axis("learning rate", 0.0, 1.08 * float(rates.max()))
    warmup = int(config.get("warmup") or 0)
    grown = f" It grows over the first {counted(warmup, 'step')}." if warmup else ""
    caption = f"At the last step of each epoch.{grown}"
    plot = figure(curves.comparison(drawn, x, y, "Learning rate by epoch"), caption, "Step size")
    return pair(plot, html(Table(("", ""), rows, texts=(0, 1))))


def extras(config: dict[str, Any]) -> list[tuple[str, str]]:
    """What is not asked of every training: names and values of those that were."""
    warmup, decay, clip = config.get("warmup"), config.get("weight_decay"), config.get("clip")
    outer = float(config.get("outer_momentum", 0)), float(config.get("outer_rate", 1))
    rows = [
        ("warm-up", f"{counted(int(warmup), 'step')}, from zero") if warmup else None,
        ("weight decay", number(decay, 3)) if decay else None,
        ("largest norm of a gradient", number(clip, 3)) if clip is not None else None,
        ("averaged over", "rounds of the second half") if config.get("averaging") else None,
        ("outer momentum, rate", ", ".join(number(value, 3) for value in outer)) if outer != (0.0, 1.0) else None,
    ]
    return [row for row in rows if row]
