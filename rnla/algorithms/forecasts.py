"""Plans of the jobs that take samples: norms, sampled products, similar columns, sketches. Only metadata is read."""

from __future__ import annotations

import math
from typing import NamedTuple

from rnla.algorithms.inner import PROBES
from rnla.algorithms.planning import Plan, oriented
from rnla.algorithms.sampling import MOST_DRAWS, Sampling, operands, probed, value_chunks
from rnla.algorithms.similarity import BLOCK, HELD, MOST_PAIRS, Search, sketch_rows
from rnla.arrays import accumulator_dtype, spelt_bytes
from rnla.sweeps.geometry import FAN_IN, STRIP_BYTES, Geometry, geometry
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.sketches import Embedding
from rnla.sweeps.spans import BLOCK_BYTES

MARGIN_BYTES = 32 << 20  # the interpreter's own growth
PAIR_BYTES = 112  # of a candidate pair while it is looked at
STATE_BYTES = 4 << 10  # of a journal, besides the answers
NONZERO_BYTES = 8 + 8  # a number and its column
DRAWN_BYTES = 8 * 12  # of a term that was drawn: index, count, weight, chance, scale, and copies while they are made
KEPT = "a read less where norms are kept beside the store (rnla run column-norms --keep)"
PAIRS = ("the output is 24 bytes for each pair that is found",)


class Machine(NamedTuple):
    """One process."""

    threads: int
    base_bytes: int
    workers: int = 1  # of its kind


def plan_norms(A: Matrix, machine: Machine) -> Plan:
    """Squared norms: one read."""
    view, _ = oriented(A)
    peak = sweep_bytes(view, machine.threads, joined=2, rowwise=1, copies=4)
    m, n = A.shape
    reads = 1 + _settling_reads(view)
    return _plan(
        "column-norms", A, "one read", "squares are summed exactly for integers, else in float64", machine,
        width=1, passes=reads, bytes_read=reads * view.geometry.bytes, flops=2.0 * m * n, peak=peak,
        output=8 * (view.geometry.filled(view.shape[0]) + view.shape[1]), scratch=0, notes=(KEPT,),
    )  # fmt: skip


def plan_sketch(A: Matrix, S: Embedding, machine: Machine) -> Plan:
    """S A: one read."""
    view, turned = oriented(A)
    item = accumulator_dtype(A.dtype).itemsize
    joined, rowwise = (0, S.l) if turned else (S.l, 0)
    block_rows = _block_rows(view)
    peak = sweep_bytes(view, machine.threads, joined=joined, rowwise=rowwise, copies=2)
    made = S.m * (3 * S.nonzeros if S.sparse else S.l) * 2 * item if turned else 0  # S^T
    peak += machine.threads * block_rows * S.l * 3 * item + made
    reads = 1 + _settling_reads(view)
    return _plan(
        "sketch", A, S.kind, f"{S.l} rows, {S.nonzeros} nonzeros in a column", machine,
        width=S.l, passes=reads, bytes_read=reads * view.geometry.bytes,
        flops=2.0 * (S.l if turned and not S.sparse else S.nonzeros) * A.shape[0] * A.shape[1], peak=peak,
        output=S.l * A.shape[1] * A.dtype.itemsize, scratch=0,
    )  # fmt: skip


def plan_similarity(A: Matrix, search: Search, machine: Machine) -> Plan:
    """Similar columns: one read, or two, the second partial."""
    m, n = A.shape
    view, turned = oriented(A)
    reads = 1 + _settling_reads(A.T if A.own_means else A)
    if search.method == "gram":
        peak = sweep_bytes(A, machine.threads, joined=n, rowwise=0, copies=3) + 5 * 8 * n * n
        return _plan(
            "similarity", A, "gram", f"{n} columns: A^T A is formed", machine, width=n, passes=reads,
            bytes_read=reads * A.geometry.bytes, flops=1.0 * m * n * n, peak=peak, output=0, scratch=0, notes=PAIRS,
        )  # fmt: skip
    l = min(sketch_rows(search.threshold, search.failure), m)
    joined, rowwise = (1, l + 1) if turned else (l + 1, 0)
    first = sweep_bytes(view, machine.threads, joined=joined, rowwise=rowwise, copies=2) + 8 * n * l * (
        1 if turned else 3
    )
    pairs, spans = min(MOST_PAIRS, n * (n - 1) // 2), len(A.geometry.spans())
    busy = min(machine.threads, spans)
    partials = 2 * busy + (FAN_IN + 1 if spans > 1 else 1)
    second = sweep_bytes(A, machine.threads, joined=1, rowwise=0, copies=6) + pairs * (8 * partials + PAIR_BYTES)
    if A.geometry.reads == 2:  # the candidates' columns are read by whole rows
        item, strip = A.source.dtype.itemsize, A.geometry.panel_rows * n * A.source.dtype.itemsize
        second += busy * (2 * min(STRIP_BYTES, strip) + 3 * math.prod(A.source.chunks) * item)
    compared = 4 * HELD + machine.threads * 5 * 4 * BLOCK * BLOCK
    return _plan(
        "similarity", A, "sketch", f"a Gaussian sketch of {l} rows finds candidates, a partial read their cosines",
        machine, width=l, passes=reads + 1, bytes_read=(reads + 1) * A.geometry.bytes,
        flops=2.0 * m * n * l + 1.0 * n * n * l, peak=max(first + compared, second),
        output=0, scratch=8 * view.geometry.filled(n) * (l + 1) if turned else 0,
        state=STATE_BYTES + (0 if turned else 8 * n * (l + 1)), notes=PAIRS,
    )  # fmt: skip


def plan_product(A: Matrix, B: Matrix, request: Sampling, machine: Machine) -> Plan:
    """A sampled product: one read of each, and the chunks that hold drawn lines."""
    A, B, twin = operands(A, B)
    (m, N), p = A.shape, B.shape[1]
    u, item, wide = min(request.most, N), A.dtype.itemsize, accumulator_dtype(A.dtype).itemsize
    probes = PROBES if probed(A, B) or request.draws is None else 0
    first = max(_first_bytes(side, machine.threads, probes) for side in ((A,) if twin else (A, B)))
    second = max(_gathering_bytes(side, u, machine.threads) for side in ((A,) if twin else (A, B.T)))
    third = _multiplying_bytes(A, u, p, machine.threads)
    drawing = u * DRAWN_BYTES
    sizes = A.geometry.bytes + (0 if twin else B.geometry.bytes)
    sides = (A,) if twin else (A, B)
    extra = [_settling_reads(side.T if side.own_means else side) * side.geometry.bytes for side in sides]
    M, P = _filled(A, m, u), _filled(B.T, p, u)  # rows on the disk
    scratch = (M + (0 if twin else P)) * u * item + (M + N) * PROBES * wide + 2 * 8 * N
    answered = sum(_answered(side, probes, wide) for side in ((A,) if twin else (A, B.T)))
    how = "with replacement" if request.replace else "without replacement, by priority"
    auto = (f"the first read tells the number of draws, at most {MOST_DRAWS}",)
    notes = (KEPT,) if request.draws is not None else auto
    return _plan(
        "sampled-product", A, f"{request.weights} weights, {how}",
        f"{'one matrix' if twin else 'two matrices'} of {spelt_bytes(sizes)}; the second read is of drawn chunks",
        machine, width=u, passes=2 + any(extra), bytes_read=2 * sizes + sum(extra),
        flops=2.0 * m * p * u + 4.0 * PROBES * (m + p) * N, peak=max(first, second, third) + drawing,
        output=M * p * item, scratch=scratch, state=STATE_BYTES + answered, notes=notes,
    )  # fmt: skip


def _answered(A: Matrix, probes: int, wide: int) -> int:
    """Bytes that the first read of A answers and that do not lie along the swept side."""
    view, turned = oriented(A)
    return view.shape[1] * (probes * wide + (0 if turned else 8))


def _settling_reads(A: Matrix) -> int:
    """Reads that means and deviations cost before the others: 0 or 1."""
    return 0 if A.settled else 1


def _filled(A: Matrix, rows: int, u: int) -> int:
    """Rows on the disk of A S, of its product, and of probes: the largest of them."""
    written = geometry((rows, u), A.dtype.itemsize, (A.source.chunks[0], u), strip_bytes=1 << 62)
    read = geometry((rows, u), A.dtype.itemsize, (written.tall_rows, u))
    return max(cut.filled(rows) for cut in (written, read, oriented(A)[0].geometry))


def _first_bytes(A: Matrix, threads: int, probes: int) -> int:
    view, _ = oriented(A)
    found = view.astype(accumulator_dtype(view.dtype))
    short = 8 * found.shape[1] * (probes * 3 + 2)
    return sweep_bytes(found, threads, joined=probes + 1, rowwise=probes + 1, copies=4) + short


def _gathering_bytes(A: Matrix, u: int, threads: int) -> int:
    """Of A S by panels of whole chunk rows: what is read, and its block."""
    r, c = A.source.chunks
    cut = geometry((A.shape[0], u), A.source.dtype.itemsize, (r, u), strip_bytes=1 << 62)
    kept = getattr(A.source, "cut", None)  # of a sparse matrix: panels of so many nonzeros
    piece = r * min(c, A.shape[1]) * A.source.dtype.itemsize if kept is None else kept.most_nonzeros * NONZERO_BYTES
    read = 2 * piece + int(getattr(A.source, "transient_bytes", 0))
    rows = min(cut.tall_rows, A.shape[0])
    busy = min(threads, len(cut.spans()))
    return busy * (3 * cut.panel_bytes + read + 2 * BLOCK_BYTES + 3 * rows * u * A.dtype.itemsize)


def _multiplying_bytes(A: Matrix, u: int, p: int, threads: int) -> int:
    """Of (A S)(S^T B), a strip of columns at a time: panels of A S, blocks of the value, and the strip of S^T B."""
    (m, _), item, wide = A.shape, A.dtype.itemsize, accumulator_dtype(A.dtype).itemsize
    written = geometry((m, u), item, (A.source.chunks[0], u), strip_bytes=1 << 62).tall_rows
    cut = geometry((m, u), item, (written, u))
    rows, width = value_chunks(cut, m, item, p)
    block_rows = max(1, min(cut.panel_rows, BLOCK_BYTES // (u * item)))
    blocks = block_rows * width * (item + 2 * wide)
    busy = min(threads, len(cut.spans()))
    return (
        busy * (2 * cut.panel_bytes + 3 * rows * width * item + blocks) + u * (width + 3 * PROBES) * (item + wide) * 2
    )


def sweep_bytes(A: Matrix, threads: int, *, joined: int, rowwise: int, copies: int) -> int:
    """Working memory of a sweep whose partials have `joined` rows of length n, and that writes `rowwise` columns."""
    cut: Geometry = A.geometry
    wide = accumulator_dtype(A.dtype).itemsize
    spans = len(cut.spans())
    busy = min(threads, spans)
    buffers = (2 if cut.span_panels > 1 else 1) * cut.panel_bytes
    block = _block_rows(A) * cut.part_columns * wide * copies
    if cut.reads == 2:
        buffers = 2 * cut.panel_bytes
        block = cut.panel_rows * cut.part_columns * wide * copies
    tall = min(cut.tall_rows, A.shape[0]) * rowwise * wide * 3
    partial = cut.columns * joined * wide
    waiting = FAN_IN + 1 if spans > 1 else 1
    return (
        busy * (buffers + int(getattr(A.source, "transient_bytes", 0)) + block + tall + 2 * partial) + waiting * partial
    )


def _block_rows(A: Matrix) -> int:
    cut = A.geometry
    return max(1, min(cut.panel_rows, A.shape[0], BLOCK_BYTES // max(1, cut.columns * A.dtype.itemsize)))


def _plan(  # noqa: PLR0913 - the fields of a plan
    pipeline: str, A: Matrix, method: str, why: str, machine: Machine, *, width: int, passes: int, bytes_read: int,
    flops: float, peak: int, output: int, scratch: int, state: int = 0, notes: tuple[str, ...] = (),
) -> Plan:  # fmt: skip
    view, transposed = oriented(A)
    cut = view.geometry
    return Plan(
        pipeline=pipeline, method=method, why=why, transposed=transposed, shape=A.shape, dtype=str(A.source.dtype),
        precision=str(A.dtype), width=width, sweeps=passes, passes=passes, bytes_read=bytes_read, flops=flops,
        tasks=passes * cut.tasks(), tasks_per_sweep=cut.tasks(), spans=len(cut.spans()),
        panel_rows=min(cut.panel_rows, view.shape[0]), panel_bytes=cut.panel_bytes, threads=machine.threads,
        base_bytes=machine.base_bytes, peak_bytes=machine.base_bytes + peak + MARGIN_BYTES, output_bytes=output,
        scratch_bytes=scratch, state_bytes=state, notes=notes,
    )  # fmt: skip
