"""Which method a job takes and what it will cost, before anything is read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rnla.algorithms.certificate import PROBES, energy_rounding
from rnla.arrays import accumulator_dtype, spelt_bytes
from rnla.checks import integer, one_of, share
from rnla.errors import RankError, RequestError, UnsupportedError
from rnla.kernels.sparse import RUN
from rnla.sweeps.geometry import FAN_IN, Geometry
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.nonzeros import SparseGeometry
from rnla.sweeps.settling import extra_reads
from rnla.sweeps.source import swept_as_it_is
from rnla.sweeps.spans import BLOCK_BYTES
from rnla.sweeps.sparse import DENSE_BYTES
from rnla.tables import counted, html_table, text_table

Method = Literal["auto", "krylov", "subspace", "gram", "merge"]
GRAM_COLUMNS = 1024  # up to this side the whole of A^H A is formed
WORTH_SHARING = 256 << 20  # bytes of a store from which idle threads are worth a word
INDEX_BYTES = 4  # of a column number in the copies that scipy makes
TOLERANCE_WIDTH = 64  # columns of a block when the rank is to be found


@dataclass(frozen=True, repr=False)
class Plan:
    """What a job will cost: promises, except where the data decides (then `notes` says so).

    Data whose squares leave the range of its precision costs one read more than `passes`.
    """

    pipeline: str
    method: str
    why: str
    transposed: bool  # swept along the columns of the store
    shape: tuple[int, int]
    dtype: str  # as stored
    precision: str  # as multiplied
    width: int  # columns of a block
    sweeps: int
    passes: float  # whole, but for training on chunks that do not fit its blocks
    bytes_read: int
    flops: float
    tasks: int  # Dask tasks of the whole job
    tasks_per_sweep: int
    spans: int
    panel_rows: int
    panel_bytes: int
    threads: int
    base_bytes: int
    peak_bytes: int  # of one worker process
    output_bytes: int
    scratch_bytes: int
    state_bytes: int = 0  # of what is kept between sweeps, to take up an interrupted job
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed; training speaks of rounds and blocks, not of sweeps and panels."""
        training, spent = self.pipeline == "train", f"{self.passes:.4g}"
        along = ("swept along", "columns of the store" if self.transposed else "rows of the store")
        sweeps, rounds = counted(self.sweeps, "sweep"), counted(self.sweeps, "round")
        each = "a round" if training else f"a sweep, {counted(self.spans, 'span')}"
        threads = counted(self.threads, "thread")
        return [
            ("pipeline", self.pipeline),
            ("matrix", f"{self.shape[0]:,} x {self.shape[1]:,} {self.dtype}, multiplied in {self.precision}"),
            ("method", f"{self.method}: {self.why}"),
            *([] if training else [along]),
            ("passes", f"{spent}, and {rounds} of steps at most" if training else f"{spent} ({sweeps})"),
            ("bytes read", spelt_bytes(self.bytes_read)),
            ("flops", f"{self.flops:.3g}"),
            ("tasks", f"{self.tasks:,} ({self.tasks_per_sweep:,} {each})"),
            ("block" if training else "panel", f"{self.panel_rows:,} rows, {spelt_bytes(self.panel_bytes)}"),
            ("peak memory", f"{spelt_bytes(self.peak_bytes)} in each worker process of {threads}"),
            ("output", f"{spelt_bytes(self.output_bytes)}, and {spelt_bytes(self.scratch_bytes)} while it runs"),
            *(("note", note) for note in self.notes),
        ]

    def __str__(self) -> str:
        return text_table(self.summary, 12)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table("Plan", self.summary)


@dataclass(frozen=True)
class Request:
    """What is asked of a factorisation, checked."""

    k: int | None
    passes: int
    tolerance: float | None
    oversample: int
    seed: int
    method: Method | Literal["sketch"]  # "sketch" serves those who only look for columns and rows
    means: bool = False  # whether the means of the columns are wanted too
    scores: bool = False  # whether left vectors are wanted times their singular values
    names: tuple[str, str] = ("U", "Vt")  # of the left and right factor in the result
    squares: bool = False  # whether the squared norms of rows and columns are wanted too
    rough: bool = False  # whether float32 products are good enough for modes that they hide


def checked_request(
    shape: tuple[int, int],
    k: Any,
    *,
    passes: Any = 4,
    tol: Any = None,
    oversample: Any = 10,
    seed: Any = 0,
    method: Any = "auto",
) -> Request:
    """The request, or an error that says what is allowed."""
    m, n = shape
    if min(shape) < 1:
        msg = f"a matrix of shape {m} x {n} has no entries: there is nothing to factor"
        raise RequestError(msg)
    if k is None and tol is None:
        msg = "give k, the rank, or tol, the relative Frobenius error to reach"
        raise RequestError(msg)
    rank = None if k is None else integer(k, "k")
    if rank is not None and not 1 <= rank <= min(shape):
        msg = f"k={rank} must lie in 1..{min(shape)} for a matrix of shape {m} x {n}"
        raise RankError(msg)
    budget = integer(passes, "passes")
    if not 1 <= budget <= 100:
        msg = f"passes={budget} must lie in 1..100: 2 is quick, 4 the default"
        raise RequestError(msg)
    tolerance = None if tol is None else share(tol, "tol", "a relative error")
    if tolerance is not None and tolerance**2 < 2 * energy_rounding(1.0, 0.0):
        msg = (
            f"tol={tolerance:.2g} is less than sums of squares in float64 can show (1.7e-7), so nobody could say that "
            "it was met: ask for a rank k instead; its certificate says how large the error may be"
        )
        raise RequestError(msg)
    extra = integer(oversample, "oversample", least=0)
    one_of(method, "method", get_args(Method))
    if budget == 1 and method in {"krylov", "subspace", "gram"}:
        msg = f"method={method!r} needs passes >= 2; one pass is method='merge'"
        raise RequestError(msg)
    return Request(rank, budget, tolerance, extra, integer(seed, "seed"), method)


def oriented(A: Matrix) -> tuple[Matrix, bool]:
    """A or its transpose, whichever is swept well, and whether it is the transpose.

    Along the side that a sparse store is kept by. Else along the longer side, unless strips fit only along the other
    and the sides are not far apart, or the view needs whole rows and strips along the longer side do not fit.
    """
    if hasattr(A.source, "by_rows"):
        return (A, False) if swept_as_it_is(A.source) else (A.T, True)
    m, n = A.shape
    along = A if m >= n else A.T
    if along.geometry.reads == 2:
        across = A.T if m >= n else A
        fits = across.geometry.reads == 1 and max(m, n) <= 4 * min(m, n)
        along = across if fits or along.needs_whole_rows else along
    return along, along.shape != A.shape or (m == n and along is not A)


def chosen(A: Matrix, request: Request) -> tuple[str, str]:
    """Method for a matrix that is swept by rows, and the reason."""
    n = A.shape[1]
    if request.method != "auto":
        method, why = str(request.method), "as asked"
    elif request.passes == 1:
        method, why = "merge", "one pass: blocks are compressed and merged as they come"
    elif n <= GRAM_COLUMNS and A.geometry.reads == 1:
        method = "gram"
        why = (
            f"the short side has {n} <= {GRAM_COLUMNS} columns, so A^T A fits and its eigenvectors are exact to "
            "rounding; a second sweep gives the other factor and, with graded columns, singular values down to 1e-6 of "
            "the largest (for smaller ones, method krylov)"
        )
    else:
        method, why = "krylov", "fused block Krylov: one read for each step, all blocks used"
    if method == "merge":
        check_streamable(A)
    if method in {"merge", "gram"} and A.geometry.reads == 2:
        cure = "give passes >= 2" if request.method == "auto" else "take method krylov"
        msg = (
            f"method {method} needs whole rows in memory, and a strip of this store's chunks does not fit: {cure}, or "
        )
        raise UnsupportedError(msg + "rechunk the store to panels of whole rows (rnla rechunk)")
    return method, why


def check_streamable(A: Matrix) -> None:
    """Refuses views whose means or deviations must be known before the products of the only read."""
    if A.axis == "columns" and (A.scaling or A.transform.missing == "impute-mean"):
        msg = "scaling by own deviations and imputing means need passes >= 2: they must be known before the products"
        raise RequestError(msg)
    if A.axis == "columns" and A.centring and (A.transform.weights is not None or A.transform.missing != "error"):
        msg = "with row weights or missing='mask', centring needs passes >= 2"
        raise RequestError(msg)


def width_of(A: Matrix, request: Request) -> int:
    """Columns of a block."""
    wanted = TOLERANCE_WIDTH if request.k is None else request.k + request.oversample
    return min(wanted, *A.shape)


def sweeps_of(method: str, request: Request, A: Matrix) -> int:
    """Sweeps at most: blocks of Krylov's method fill the whole space after n / width of them."""
    if method in {"merge", "sketch"}:
        return 1
    if method == "gram":
        return 2
    full = -(-A.shape[1] // width_of(A, request)) + 1 if method == "krylov" else request.passes
    return max(2, min(request.passes, full))


def plan(
    pipeline: str, A: Matrix, request: Request, *, threads: int, base_bytes: int, notes: tuple[str, ...] = ()
) -> Plan:
    """What the request will cost on A with `threads` spans at once in a process that already holds `base_bytes`."""
    view, transposed = oriented(A)
    geometry = view.geometry
    method, why = chosen(view, request)
    width = width_of(view, request)
    sweeps = sweeps_of(method, request, view)
    extra = extra_reads(view) if method != "merge" else 0
    reads = (sweeps + extra) * geometry.reads - (extra if geometry.reads == 2 else 0)
    m, n = view.shape
    item = view.dtype.itemsize
    wide = accumulator_dtype(view.dtype).itemsize
    output = (m * (request.k or width) + n * (request.k or width)) * item
    scratch = m * width * {"merge": 2 * wide, "gram": wide}.get(method, item)  # Y; merge keeps those of its blocks too
    peak = _peak(view, method, width, threads, sweeps)
    return Plan(
        pipeline=pipeline,
        method=method,
        why=why
        + (
            ""
            if geometry.reads == 1
            else f"; a strip of whole rows ({spelt_bytes(geometry.panel_rows * n * geometry.itemsize)}) exceeds "
            f"{spelt_bytes(view.strip_bytes)}, so every sweep reads the store twice: rechunk to row panels to halve it"
        ),
        transposed=transposed,
        shape=A.shape,
        dtype=str(A.source.dtype),
        precision="float64" if method == "gram" and view.dtype.kind != "c" else str(view.dtype),
        width=width,
        sweeps=sweeps + extra,
        passes=reads,
        bytes_read=reads * geometry.bytes,
        flops=_flops(view, method, width, sweeps),
        tasks=(sweeps + extra) * geometry.tasks(),
        tasks_per_sweep=geometry.tasks(),
        spans=len(geometry.spans()),
        panel_rows=min(geometry.panel_rows, m),
        panel_bytes=geometry.panel_bytes,
        threads=threads,
        base_bytes=base_bytes,
        peak_bytes=base_bytes + peak,
        output_bytes=output,
        scratch_bytes=scratch,
        state_bytes=_state_bytes(view, method, width, sweeps + extra),
        notes=notes
        + _rank_note(request, width, sweeps, method)
        + _span_note(geometry, threads)
        + _share_note(view)
        + _side_note(view),
    )


def _rank_note(request: Request, width: int, sweeps: int, method: str) -> tuple[str, ...]:
    if request.k is not None or method == "gram":
        return ()
    most = width * max(1, sweeps - 1)
    return (f"without k the rank is at most {most}: if the tolerance needs more, give k or more passes",)


def _share_note(A: Matrix) -> tuple[str, ...]:
    share = getattr(A.source, "assumed_share", None)
    if share is None:
        return ()
    note = (
        "how many nonzeros the sparse blocks of a Dask array hold is not known before they are made: memory is planned "
        f"for {share:.0%} of the entries, and bytes are counted as if all were stored"
    )
    return (note,)


def _side_note(A: Matrix) -> tuple[str, ...]:
    m, n = A.shape
    if not hasattr(A.source, "by_rows") or n <= m:
        return ()
    note = (
        f"the store is compressed along its shorter side, so the sums of a sweep have the length of the longer, {n:,}: "
        "written anew, compressed along that, it needs far less memory"
    )
    return (note,)


def _span_note(geometry: Geometry, threads: int) -> tuple[str, ...]:
    if len(geometry.spans()) >= threads or geometry.bytes < WORTH_SHARING or isinstance(geometry, SparseGeometry):
        return ()
    spans, strip = len(geometry.spans()), spelt_bytes(geometry.panel_rows * geometry.columns * geometry.itemsize)
    idle = f"{threads - spans} of {threads} threads have nothing to do"
    return (f"whole rows come {strip} at a time, so {idle}: rechunk to chunks of fewer rows",)


def _state_bytes(A: Matrix, method: str, width: int, sweeps: int) -> int:
    """A few arrays with n rows (`rnla.algorithms.krylov.State`), n being the side that is not swept.

    All blocks and their products, the last block and its product, probes and theirs, and three vectors; Y^H Y.
    """
    if method == "merge":  # its only sweep is done at once
        return 0
    n, wide = A.shape[1], 8 if method == "gram" and A.dtype.kind != "c" else accumulator_dtype(A.dtype).itemsize
    blocks = n if method == "gram" else min(n, width * sweeps)
    columns = 2 * blocks + 2 * width + 3 * PROBES + 3
    return (n * columns + width**2) * wide


def _flops(A: Matrix, method: str, width: int, sweeps: int) -> float:
    entries = A.geometry.entries
    sweep = 4.0 * entries * width
    if method == "gram":
        return 1.0 * entries * A.shape[1] + sweep
    if method == "merge":
        return 8.0 * entries * width
    return sweeps * sweep


def _most_nonzeros(A: Matrix) -> int | None:
    """Stored elements of a sparse panel, at most; None for a dense one."""
    geometry, share = A.geometry, getattr(A.source, "assumed_share", None)
    if isinstance(geometry, SparseGeometry):
        return geometry.most_nonzeros
    return None if share is None else math.ceil(share * min(geometry.panel_rows, A.shape[0]) * geometry.columns)


def _sparse_block_bytes(A: Matrix, method: str, most: int, product_bytes: int) -> int:
    """Memory of a sparse panel while it is multiplied: copies in both precisions, and a product or two."""
    item, wide = A.dtype.itemsize, accumulator_dtype(A.dtype).itemsize
    entries = most * (2 * item + wide + INDEX_BYTES) + 8 * RUN * wide
    if method == "gram":  # products of sparse matrices, or of rows made dense
        entries += max(2 * most * (wide + INDEX_BYTES), 3 * DENSE_BYTES)
    return entries + product_bytes * (4 if method == "merge" else 2)


def _peak(A: Matrix, method: str, width: int, threads: int, sweeps: int) -> int:
    """Working memory of one process. Counted generously: every array that may be alive at once."""
    geometry = A.geometry
    n, item = geometry.columns, A.dtype.itemsize
    wide = accumulator_dtype(A.dtype).itemsize
    carried = n if method == "gram" else width + PROBES
    spans = len(geometry.spans())
    busy = min(threads, spans)
    held = 2 if geometry.span_panels > 1 else 1
    buffers = held * geometry.panel_bytes
    block_rows = max(1, min(geometry.panel_rows, A.shape[0], BLOCK_BYTES // max(1, n * item)))
    copies = 5 if A.needs_whole_rows else 3 if method in {"gram", "merge"} else 2  # means of rows are taken in float64
    block = block_rows * min(n, geometry.part_columns) * wide * copies
    tall = geometry.tall_rows * (width + PROBES) * item * 3
    if (most := _most_nonzeros(A)) is not None:
        buffers = held * min(geometry.panel_bytes, most * (A.source.dtype.itemsize + 2 * INDEX_BYTES))
        block = _sparse_block_bytes(A, method, most, n * carried * wide)
        tall += geometry.panel_rows * (width + PROBES) * (2 * wide + item)
    if geometry.reads == 2:
        buffers = 2 * geometry.panel_bytes
        tall += geometry.panel_rows * (width + PROBES) * (wide + item)
    partial = n * carried * wide
    waiting = (FAN_IN + 1) if spans > 1 else 1
    read = getattr(A.source, "transient_bytes", 0)  # while a panel is read or assembled
    everywhere = busy * (buffers + read + block + tall + 2 * partial) + waiting * partial + n * carried * item
    # the client's algebra: the blocks so far, their products, and copies of both; or A^T A, its eigenvectors and
    # LAPACK's workspace of twice the size
    blocks = (
        n * width * (sweeps + 1) * wide * 5 if method in {"krylov", "subspace", "sketch"} else n * carried * wide * 9
    )
    small = min(2 * width * sweeps, n + width) ** 2 * wide * 4
    if method in {"krylov", "subspace"}:  # bases of all blocks at the end, when the sweeps hold nothing any more
        return max(everywhere + blocks, 3 * blocks) + small + (32 << 20)
    return everywhere + blocks + small + (32 << 20)
