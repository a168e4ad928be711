"""The words in which networks are told on a terminal: training, prediction, descent beside theory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnla.tables import counted

if TYPE_CHECKING:
    from rnla.dashboard.epochs import Baseline, Epoch

Rows = list[tuple[str, str]]
SMALL = ("loss", "accuracy", "validation_loss", "validation_accuracy", "confusion", "baseline")  # what words need


def small_arrays(path: Any) -> dict[str, Any]:
    """Those of a result's arrays that words need, and that it has."""
    from pathlib import Path

    import zarr

    return {name: zarr.open_array(str(Path(path, name)), mode="r")[...] for name in SMALL if Path(path, name).is_dir()}


def told_training(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> Rows:
    """The epoch that was kept, the last and the best one, and what is had without looking at a sample."""
    from rnla.dashboard.epochs import epochs_of

    found, proof = epochs_of(record, arrays), record["certificate"]
    kept, last, base = found.kept, found.last, found.baseline
    early = ", stopped early" if found.early else ""
    samples = f" of {counted(found.held_out, 'sample')}" if found.held_out else ""
    rows = [
        ("loss", f"{found.unit}; the mean of a sample"),
        ("kept", f"epoch {kept.number:,} of {last.number:,}{early}: {_seen(kept)}{samples}"),
    ]
    if last.number != kept.number:
        rows.append(("last", f"epoch {last.number:,}: {_seen(last)}"))
    elif found.best is not None and found.another:
        best = f"epoch {found.best.number:,} by the loss held out"
        rows.append(("best", f"{best}: {_seen(found.best)}; --patience keeps it"))
    if base is not None:
        rows.append(("baseline", _named(base)))
    if (rmse := proof.get("validation_rmse")) is not None:
        r2 = "" if proof.get("validation_r2") is None else f"R^2 {proof['validation_r2']:.4g}, "
        rows.append(("held out", f"{r2}root mean square error {rmse:.4g}, in units of the targets"))
    if found.diverged:
        rows.append(("diverged", f"{found.diverged}; the parameters are the last finite ones"))
    elif found.remark:
        rows.append(("remark", found.remark))
    steps = f"{proof['steps']:,} in {counted(proof['rounds'], 'round')}, each with a checkpoint"
    return [*rows, ("steps", steps), ("speed", f"{proof['samples_per_second']:,.0f} samples/s")]


def training_shortly(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """The epoch that was kept, in a few words that continue a line."""
    from rnla.dashboard.epochs import epochs_of

    found = epochs_of(record, arrays)
    remark = f" ({found.remark})" if found.remark and not found.diverged else ""
    return f", epoch {found.kept.number:,} of {found.last.number:,}: {_seen(found.kept)}{remark}"


def _seen(epoch: Epoch) -> str:
    """Losses, and shares that were decided rightly, of one epoch."""
    told = f"loss {_with(epoch.loss, epoch.right)}"
    return told if epoch.held_loss is None else f"{told}, held out {_with(epoch.held_loss, epoch.held_right)}"


def _with(loss: float | None, right: float | None) -> str:
    return ("not known" if loss is None else f"{loss:.4g}") + ("" if right is None else f" ({right:.2%} right)")


def _named(base: Baseline) -> str:
    """What is had without looking at a sample."""
    right = "" if base.right is None else f": {base.right:.2%} right"
    loss = "" if base.loss is None else f"; a loss of {base.loss:.4g}"
    return f"always naming {base.named}{right}{loss}" + (" by the classes' shares" if right and loss else "")


def told_prediction(record: Mapping[str, Any], _arrays: Mapping[str, Any]) -> Rows:
    """The network, and how its values compare with what is known."""
    from rnla.dashboard.epochs import UNITS

    proof = record["certificate"]
    rows = [("parameters", f"{proof['parameters']}, {counted(proof['outputs'], 'output')}")]
    if (column := (record.get("config") or {}).get("label_column")) is not None:
        rows.append(("labels", f"column {column} of the matrix, which was left out of what the network sees"))
    if proof.get("accuracy") is not None:
        rows.append(("right", f"{proof['accuracy']:.2%} of {counted(proof['rows'], 'row')}"))
        rows.append(("baseline", f"always naming class {proof['largest_class']}: {proof['largest_share']:.2%} right"))
    if proof.get("rmse") is not None:
        r2 = "not known, as targets do not vary" if proof["r2"] is None else f"{proof['r2']:.4g}"
        mean = " on average over outputs" if proof["outputs"] > 1 else ""
        rows.append(("R^2", f"{r2}{mean}, of {counted(proof['rows'], 'row')}"))
        rows.append(("error", f"{proof['rmse']:.4g}, root mean square; of always the mean {proof['spread']:.4g}"))
    if proof.get("mean_loss") is not None:
        rows.append(("loss", f"{proof['mean_loss']:.4g} ({UNITS[proof['loss']]}; the mean of a row)"))
    return rows


def prediction_shortly(proof: Mapping[str, Any]) -> str:
    """The score in a few words that continue a line; empty without targets."""
    if proof.get("accuracy") is not None:
        return f", {proof['accuracy']:.2%} of {counted(proof['rows'], 'row')} right"
    if proof.get("rmse") is not None:
        r2 = "" if proof["r2"] is None else f"R^2 {proof['r2']:.4g}, "
        return f", {r2}root mean square error {proof['rmse']:.4g}"
    return ""


def told_study(record: Mapping[str, Any], _arrays: Mapping[str, Any]) -> Rows:
    """Rates beside theory, where to stop, samplings beside permutations: as the certificate says it."""
    from rnla.algorithms.studies import StudyCertificate

    facts = {name: value for name, value in record["certificate"].items() if name != "status"}
    _, *rows, _ = StudyCertificate(**facts).summary
    return [("condition", f"{facts['condition']:.6g} of A^T A"), *rows]
