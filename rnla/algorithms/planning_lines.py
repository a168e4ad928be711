"""What a CUR or an interpolative decomposition will cost: the sweeps that choose, and the one that gathers."""

from __future__ import annotations

from dataclasses import replace

from rnla.algorithms.cur import OVERSAMPLE, Choice
from rnla.algorithms.forecasts import KEPT
from rnla.algorithms.planning import Plan, oriented
from rnla.algorithms.planning import plan as planned
from rnla.algorithms.selection import SELECTORS
from rnla.arrays import accumulator_dtype
from rnla.errors import UnsupportedError
from rnla.sweeps.geometry import FAN_IN
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.spans import BLOCK_BYTES

RANGE = "a read more where squares of entries leave the range of their precision, to find a unit"
MIDDLES = {
    "optimal": "M = C^+ A R^+, the best, from what that sweep gathers: no read",
    "cross": "M from the entries where they cross: no read, and one read less for singular vectors",
}
COPIES = 8  # of a block of singular vectors while lines are chosen: products, scores, pivoted QR


def check_plain(A: Matrix) -> None:
    """Refuses views: C and R are columns and rows of the matrix as it is stored."""
    if not A.settled or not A.transform.trivial:
        msg = (
            "columns and rows are taken from the matrix as it is stored, so it cannot be centred, scaled or weighted, "
            "nor have missing entries treated: open it plainly, or store the view first (A.to_dask().to_zarr(...))"
        )
        raise UnsupportedError(msg)


def plan_lines(
    pipeline: str, A: Matrix, choice: Choice, *, threads: int, base_bytes: int, two_sided: bool = False
) -> Plan:
    """What the choice will cost on A with `threads` spans at once in a process that already holds `base_bytes`."""
    check_plain(A)
    view, transposed = oriented(A)
    reads = view.geometry.reads
    request = replace(choice.request(A.shape), passes=choice.sketch_passes or 2)
    sketch = planned(pipeline, A, request, threads=threads, base_bytes=base_bytes)
    sweeps = 1 + choice.sweeps_for_norms + (sketch.sweeps if choice.sketch_passes else 0)
    m, n = view.shape
    width = min(sketch.width + OVERSAMPLE, m, n) if choice.k is None else max(choice.columns, choice.rows)
    c, r = (width, width) if choice.k is None else (choice.columns, choice.rows)
    c, r = (r, c) if transposed else (c, r)
    others = len(SELECTORS) if choice.compare else 1
    partial_read = pipeline == "id" and transposed  # C is read first, only the chunks that hold it
    stored = view.source.dtype.itemsize
    wide = accumulator_dtype(view.dtype).itemsize
    kept = (m * c + (r * n if pipeline == "cur" else c * n + m * c * two_sided)) * max(stored, wide)
    scratch = 8 * (2 * m + n) + m * c * wide * two_sided
    if choice.sketch_passes:
        scratch += sketch.scratch_bytes + sketch.output_bytes
    fill = view.geometry.filled(m) / m
    gathering = base_bytes + _peak(view, others * c, others * r, threads)
    flops = (sketch.flops if choice.sketch_passes else 0.0) + 2.0 * m * n * c * others
    passes = sweeps * reads + partial_read
    return replace(
        sketch,
        method=f"{choice.select}, {choice.middle}" if pipeline == "cur" else str(choice.select),
        why=_why(choice, sketch) + (f"; {MIDDLES[choice.middle]}" if pipeline == "cur" else ""),
        width=width,
        sweeps=sweeps + partial_read,
        passes=passes,
        bytes_read=passes * view.geometry.bytes,
        flops=flops,
        tasks=(sweeps + partial_read) * view.geometry.tasks(),
        peak_bytes=max(gathering, sketch.peak_bytes if choice.sketch_passes else gathering),
        output_bytes=int(kept * fill),
        scratch_bytes=int(scratch * fill),
        state_bytes=sketch.state_bytes if choice.sketch_passes else 0,
        notes=(*sketch.notes, *((KEPT,) if choice.sweeps_for_norms else ()), RANGE),
    )


def _why(choice: Choice, sketch: Plan) -> str:
    """Where the passes go."""
    gather = "one sweep gathers columns and rows, and what they explain"
    if choice.sweeps_for_norms:
        gather = f"one sweep for the norms; {gather}"
    if not choice.sketch_passes:
        return f"{gather}; no singular vectors, so the best error is not known"
    spelt = f"{sketch.sweeps} sweep{'s' * (sketch.sweeps > 1)}"
    return f"{spelt} for singular vectors ({sketch.method}), {gather}"


def _peak(A: Matrix, c: int, r: int, threads: int) -> int:
    """Working memory of one process while lines are gathered or chosen, counted generously."""
    geometry, n = A.geometry, A.shape[1]
    wide = accumulator_dtype(A.dtype).itemsize
    spans = len(geometry.spans())
    busy = min(threads, spans)
    buffers = 2 * geometry.panel_bytes + int(getattr(A.source, "transient_bytes", 0))
    rows = max(1, min(geometry.panel_rows, A.shape[0], BLOCK_BYTES // max(1, n * wide)))
    block = 4 * rows * min(n, geometry.part_columns) * wide + 4 * rows * c * wide
    tall = 3 * geometry.tall_rows * c * wide
    partial = (c * n + c * c + r * n) * wide
    joining = (busy * 2 + (FAN_IN + 1 if spans > 1 else 1)) * partial
    choosing = COPIES * BLOCK_BYTES * threads
    algebra = 6 * (c + r) * n * wide
    return max(busy * (buffers + block + tall) + joining, choosing) + algebra + (32 << 20)
