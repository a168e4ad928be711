"""What a result lists besides modes: the lines that were chosen, pairs, draws, the largest norms; a row for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from rnla.arrays import spelt_times
from rnla.dashboard.epochs import UNITS, class_name

if TYPE_CHECKING:
    from rnla.store.results import Result

_TIMES = ("datetime64[ns]", "timedelta64[ns]")
STRIP_ROWS = 1 << 20  # norms in memory at once
Row = dict[str, Any]


class Listing(NamedTuple):
    """Rows of one kind, the most telling first."""

    name: str  # in JSON
    rows: list[Row]
    total: int  # of all there are
    curve: tuple[str, list[float]] | None = None  # what is drawn of them


def listing(found: Result, count: int) -> Listing | None:
    """What a result lists, so many rows at most, but all lines that were chosen; None when it holds modes."""
    for sign, listed in _KINDS.items():
        if sign in found.arrays or sign in found.tall:
            return listed(found, count)
    return None


def _lines(found: Result, _count: int) -> Listing:
    """Columns and rows in the order in which they were chosen, and the error that is left after each."""
    arrays = found.arrays
    columns = _names(arrays, "column_names", arrays["columns"])
    rows = _names(arrays, "row_names", arrays.get("rows", ()))
    curves = {name: arrays[array] for name, array in _CURVES.items() if array in arrays and arrays[array].size}
    if (found.attributes["rnla"].get("config") or {}).get("middle") == "cross":
        curves = {"error_of_best_M" if name == "error" else name: curve for name, curve in curves.items()}
    if "M" not in arrays:  # an interpolative decomposition has one error
        curves.pop("columns_alone", None)
    table = []
    for i in range(max(len(columns), len(rows))):
        lines = {"column": _entry(columns, i)} | ({"row": _entry(rows, i)} if len(rows) else {})
        errors = {name: _entry(curve, i + 1) for name, curve in curves.items()}
        table.append({"rank": i + 1, **lines, **errors})
    drawn = [float(error) for error in arrays["errors"][1:]]
    both = " and rows" if "M" in arrays else ""
    what = f"relative error after 1 to {len(drawn):,} columns{both}" if len(drawn) > 1 else "relative error"
    return Listing("lines", table, len(table), (what, drawn))


_CURVES = {"error": "errors", "columns_alone": "column_errors", "best": "best_errors"}


def _names(arrays: dict[str, Any], name: str, otherwise: Any) -> Any:
    """Names of lines, dates as text; something else where there are none."""
    found = arrays.get(name, otherwise)
    return spelt_times(found) if found is not None and getattr(found, "dtype", None) in _TIMES else found


def _entry(values: Any, i: int) -> Any:
    """An entry as plain Python; None behind the last."""
    if i >= len(values):
        return None
    return values[i].item() if hasattr(values[i], "item") else values[i]


def _pairs(found: Result, count: int) -> Listing:
    """The most similar pairs."""
    arrays = found.arrays
    first, second = (_names(arrays, f"{name}_names", arrays[name]) for name in ("first", "second"))
    shown = range(min(count, len(first)))
    rows = [
        {"first": _entry(first, i), "second": _entry(second, i), "cosine": _entry(arrays["cosine"], i)} for i in shown
    ]
    return Listing("pairs", rows, len(first))


def _draws(found: Result, count: int) -> Listing:
    """The terms that were drawn most often, or were the likeliest."""
    arrays = found.arrays
    fields = [arrays[name].tolist() for name in ("indices", "counts", "probabilities")]
    ordered = sorted(zip(*fields, strict=True), key=lambda term: (-term[1], -term[2], term[0]))
    rows = [dict(zip(("term", "times", "probability"), term, strict=True)) for term in ordered[:count]]
    return Listing("draws", rows, len(ordered))


def _norms(found: Result, count: int) -> Listing:
    """The largest columns."""
    columns = found.arrays.get("column_norms")
    total = float(found.attributes["rnla"]["certificate"]["frobenius_norm"]) ** 2
    largest: list[tuple[float, int]] = []
    strips = _strips(found.tall["column_norms"]) if columns is None else iter([(0, columns[:, 0])])
    for start, values in strips:
        order = (-values).argsort(kind="stable")[:count]
        largest = sorted([*largest, *((-float(values[i]), start + int(i)) for i in order)])[:count]
    axis = found.dimensions["column_norms"][0]
    names = _names(found.arrays, axis, None)
    rows = [
        {
            "column": index,
            **({} if names is None else {str(axis): _entry(names, index)}),
            "squared_norm": -value,
            "share": -value / total if total else 0.0,
        }
        for value, index in largest
    ]
    return Listing("columns", rows, int(found.attributes["rnla"]["input"]["shape"][1]))


def _strips(stored: Any) -> Iterator[tuple[int, Any]]:
    n = stored.shape[0]
    for start in range(0, n, STRIP_ROWS):
        yield start, stored.read(slice(start, min(start + STRIP_ROWS, n)), slice(0, 1))[:, 0]


def _epochs(found: Result, count: int) -> Listing:
    """Losses of the epochs, evenly spread where there are many; the one that was kept and the last are among them."""
    arrays = found.arrays
    epochs = len(arrays["loss"])
    proof = found.attributes["rnla"]["certificate"]
    always = {int(proof["stopped_at"]) - 1, epochs - 1}
    step = -(-epochs // max(1, count - len(always))) if epochs > count else 1
    shown = sorted({*range(0, epochs, step), *always})[-count:]
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")
    kept = [name for name in names if not all(value != value for value in arrays[name])]  # noqa: PLR0124 - NaN
    rows = [{"epoch": i + 1, **{name: float(arrays[name][i]) for name in kept}} for i in shown]
    loss = str((found.attributes["rnla"].get("config") or {}).get("loss"))
    return Listing("epochs", rows, epochs, (f"loss ({UNITS.get(loss, loss)}) of the epochs", arrays["loss"].tolist()))


def _classes(found: Result, count: int) -> Listing:
    """Classes that were decided, and what became of those that are known."""
    counts, confusion = found.arrays["class_counts"].tolist(), found.arrays.get("confusion")
    signs = found.attributes["rnla"]["certificate"]["outputs"] == 1
    total, classes = max(sum(counts), 1), found.arrays.get("classes")
    rows: list[Row] = []
    for place, decided in enumerate(counts[:count]):
        name = class_name(place, signs=signs) if classes is None else str(classes[place].item())
        row: Row = {"class": name, "decided": decided, "share": decided / total}
        if confusion is not None:
            right, known = int(confusion[place, place]), int(confusion[place].sum())
            row |= {"known": known, "found": right / known if known else None}
            row |= {"decided_rightly": right / decided if decided else None}
        rows.append(row)
    return Listing("classes", rows, len(counts))


def _outputs(found: Result, count: int) -> Listing:
    """Ranges of the numbers that a network gives, and how far they are from those that are known."""
    names = ("least", "mean", "largest", "deviation", "r2", "rmse")
    kept = {name: found.arrays[name] for name in names if name in found.arrays}
    total = len(kept["mean"])
    rows = [{"output": j, **{name: float(array[j]) for name, array in kept.items()}} for j in range(min(total, count))]
    return Listing("outputs", rows, total)


_KINDS = {
    "columns": _lines,
    "cosine": _pairs,
    "counts": _draws,
    "column_norms": _norms,
    "loss": _epochs,
    "class_counts": _classes,
    "deviation": _outputs,
}  # array that only it has
