"""`rnla demo`: the main job on sea-surface temperatures, then on a generated matrix larger than the memory allowed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from rnla.arrays import Array, spelt_bytes
from rnla.demo.generated import COLUMNS, MARK, SIGNAL, right_vectors, rounding, spectrum, write_generated
from rnla.demo.sea_surface import Anomalies, anomalies, correlation, nino34
from rnla.demo.story import Story
from rnla.errors import DoesNotFitError, OutputError, OutputExistsError, RnlaError
from rnla.store.writing import writing_errors

if TYPE_CHECKING:
    from rich.console import Console

SEA_MODES = 20
MODES = 50  # ten more than the generated matrix has above its noise
LIMIT_BYTES = 512_000_000
BLOCK_BYTES = 4 * COLUMNS**2
BLOCKS = 128  # 2 GiB
SPARE_BYTES = 600_000_000  # disk left for results, scratch and others


def run(console: Console, folder: Path, *, blocks: int = BLOCKS, limit_bytes: int = LIMIT_BYTES) -> int:
    """Both parts, told to the console; results and reports stay in `folder`, the big store goes.

    Returns
    -------
    0 when every promise was found kept, else 1.
    """
    story = Story(console)
    started = perf_counter()
    place = folder.resolve()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{place}: this folder cannot be made ({error.strerror}); give another one: rnla demo --folder FOLDER"
        raise OutputError(msg) from error
    with writing_errors(place):
        reports = [sea_surface(story, place), *larger_than_memory(story, place, blocks, limit_bytes)]
    story.heading("reports")
    for report in reports:
        story.say(f"  {report}")
    story.say(f"  Open them in a browser; they need no network. All took {perf_counter() - started:.0f} s.")
    if story.broken:
        story.say(f"  NOT kept: {', '.join(story.broken)}")
    return 1 if story.broken else 0


def sea_surface(story: Story, folder: Path) -> Path:
    """Part one: real data."""
    from rnla.jobs.running import run_job

    story.heading("1  real data: sea-surface temperatures, 128 months")
    sea = anomalies()
    store, out = folder / "sea-surface.zarr", folder / "sea-surface-svd.zarr"
    write_anomalies(store, sea)
    outcome = run_job("svd", str(store), str(out), {"k": SEA_MODES}, overwrite=True)
    tell_certificate(story, outcome.attributes)
    U, s, Vt = factors(out)
    truth = np.linalg.svd(sea.matrix, compute_uv=False)[: s.size]
    inside = held(out, truth, 8 * np.finfo(np.float64).eps * truth[0])
    story.check("against numpy's full SVD", f"{worst(s, truth):.1e} largest relative difference", holds=all(inside))
    r = correlation(U[:, 0], nino34(sea))
    story.fact("first mode is El Niño", f"correlation {abs(r):.3f} with the Niño 3.4 index of the same months")
    return sea_report(folder, out, sea, U * np.sign(r), s, Vt * np.sign(r))


def sea_report(folder: Path, out: Path, sea: Anomalies, U: Array, s: Array, Vt: Array) -> Path:
    """The report with maps."""
    from rnla.dashboard.report import write_report
    from rnla.demo.figures import mode_sections

    shares = (s / np.linalg.norm(sea.matrix)) ** 2
    return write_report(out, folder / "sea-surface.html", extras=mode_sections(sea, U, s, Vt, shares))


def write_anomalies(store: Path, sea: Anomalies) -> None:
    """The matrix as a Zarr store."""
    import zarr

    refuse_foreign(store)
    zarr.create_array(
        store, data=sea.matrix, chunks=(32, sea.matrix.shape[1]), dimension_names=("month", "cell"), attributes=MARK,
        overwrite=True,
    )  # fmt: skip


def refuse_foreign(store: Path) -> None:
    """Nothing is overwritten that the demo did not make."""
    if not store.exists():
        return
    try:
        ours = json.loads((store / "zarr.json").read_text())["attributes"].get("made_by") == MARK["made_by"]
    except (OSError, ValueError, KeyError, AttributeError):
        ours = False
    if not ours:
        msg = f"{store} is there and was not made by the demo; give another folder: rnla demo --folder FOLDER"
        raise OutputExistsError(msg)


def larger_than_memory(story: Story, folder: Path, blocks: int, limit_bytes: int) -> list[Path]:
    """Part two: more data than memory, with known singular values."""
    blocks = fitting(story, folder, blocks)
    size = blocks * BLOCK_BYTES
    story.heading(f"2  a matrix of {spelt_bytes(size)} in a process that may hold {spelt_bytes(limit_bytes)}")
    store, out = folder / "generated.zarr", folder / "generated-svd.zarr"
    refuse_foreign(store)
    try:
        generate(story, store, blocks)
        peak = factorised(story, store, out, limit_bytes)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    tell_truth(story, out)
    tell_memory(story, out, peak, limit_bytes)
    story.say(f"  The generated store of {spelt_bytes(size)} was removed; its result stays in {out}")
    from rnla.dashboard.report import write_report

    return [write_report(out, folder / "generated.html")]


def fitting(story: Story, folder: Path, blocks: int) -> int:
    """As many blocks as the disk has room for, said plainly when they are fewer."""
    free = shutil.disk_usage(folder).free
    room = (free - SPARE_BYTES) // BLOCK_BYTES
    if room < 1:
        msg = f"{folder} has {spelt_bytes(free)} free, too little for a generated matrix: give another folder"
        raise DoesNotFitError(msg)
    if room < blocks:
        story.say(
            f"  {folder} has only {spelt_bytes(free)} free: the matrix will have {spelt_bytes(room * BLOCK_BYTES)} "
            f"instead of {spelt_bytes(blocks * BLOCK_BYTES)}"
        )
    return int(min(blocks, room))


def generate(story: Story, store: Path, blocks: int) -> None:
    """The matrix, panel by panel to the disk."""
    size, done, started = blocks * BLOCK_BYTES, [0], perf_counter()
    with story.progress("generating", size) as bar:

        def told(count: int) -> None:
            done[0] += count
            bar(done[0])

        write_generated(store, blocks, threads=threads(), told=told)
    seconds = perf_counter() - started
    rows = blocks * COLUMNS
    story.fact("generated", f"{rows:,} x {COLUMNS:,}, {spelt_bytes(size)} in {seconds:.1f} s, panel by panel")
    story.fact("known singular values", f"{SIGNAL} modes from 1000 down to 10 over a noise floor of 5 to 3")


def threads() -> int:
    """Threads of the job: two, so that the promise of memory is the same on every machine."""
    return min(2, os.cpu_count() or 1)


def factorised(story: Story, store: Path, out: Path, limit_bytes: int) -> int:
    """Run the job in the bounded process, told as it goes; the peak of its memory in bytes."""
    request = {
        "pipeline": "svd", "store": str(store), "out": str(out), "options": {"k": MODES}, "threads": threads(),
        "memory_bytes": limit_bytes,
    }  # fmt: skip
    command = [sys.executable, "-m", "rnla.demo.bounded", json.dumps(request)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:  # noqa: S603
        if process.stdout is None:
            raise AssertionError
        try:
            return followed(story, map(json.loads, process.stdout))
        except BaseException:
            process.terminate()
            raise


def environment() -> dict[str, str]:
    """The environment of the bounded process: as many BLAS threads, and so BLAS buffers, as the job has threads."""
    blas = {name: str(threads()) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **blas, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def followed(story: Story, events: Any) -> int:
    """Tell what the bounded process tells; the peak of its memory in bytes.

    Raises
    ------
    RnlaError
        What stopped it.
    """
    total, passes = 1, 1
    for told in events:
        if told["event"] == "limited":
            by = f"the system refuses it more than {spelt_bytes(told['data_bytes'])}, untouched memory included"
            how = by if told["enforced"] else "measured; nothing enforces it on this system"
            story.fact("memory limit", f"{spelt_bytes(told['limit_bytes'])}; {how}")
        elif told["event"] == "planned":
            story.say("\n" + "\n".join(f"  {line}" for line in told["text"].splitlines()) + "\n")
            total, passes = told["plan"]["bytes_read"], told["plan"]["passes"]
            break
        elif told["event"] == "failed":
            raise RnlaError(told["message"])
    with story.progress("svd", total, passes) as bar:
        for told in events:
            if told["event"] == "read":
                bar(told["bytes"])
            elif told["event"] == "failed":
                raise RnlaError(told["message"])
            elif told["event"] == "peak":
                return int(told["rss_bytes"])
    msg = "the bounded process ended without a result: see what it wrote above"
    raise RnlaError(msg)


def record(out: Path) -> dict[str, Any]:
    """The record of a result."""
    import zarr

    found: Any = zarr.open_group(out, mode="r").attrs["rnla"]
    return dict(found)


def factors(out: Path) -> tuple[Array, Array, Array]:
    """U, s, Vt of a small result."""
    import zarr

    group: Any = zarr.open_group(out, mode="r")
    U, s, Vt = (np.asarray(group[name][...]) for name in ("U", "s", "Vt"))
    return U, s, Vt


def held(out: Path, truth: Array, allowance: float) -> list[bool]:
    """Whether each true singular value lies in its interval, up to the rounding of the data itself."""
    import zarr

    group: Any = zarr.open_group(out, mode="r")
    lower, upper = np.asarray(group["lower"][...]), np.asarray(group["upper"][...])
    return [bool(x) for x in (lower - allowance <= truth) & (truth <= upper + allowance)]


def worst(s: Array, truth: Array) -> float:
    """Largest relative difference."""
    return float(np.max(np.abs(s - truth) / truth)) if s.size else 0.0


def tell_certificate(story: Story, made: dict[str, Any]) -> None:
    """What the result says of its own error, and what it cost."""
    proof, cost, plan = made["certificate"], made["cost"], made["plan"]
    story.fact("method", f"{made['method']}, k = {made['config']['k']}")
    story.fact("relative error", f"{proof['relative_error']:.6g} (Frobenius, exact but for rounding)")
    odds = f"probability 1 - {1 - proof['confidence']:.0e}"
    story.fact("spectral error", f"at most {proof['spectral_bound']:.6g} with {odds}")
    story.check(
        "passes", f"{cost['passes']:.3g}, planned {plan['passes']}; {spelt_bytes(cost['bytes_read'])} in "
        f"{cost['seconds']:.1f} s", holds=cost["passes"] <= plan["passes"] * (1 + 1e-9),
    )  # fmt: skip


def tell_truth(story: Story, out: Path) -> None:
    """The certificate of the generated matrix beside the truth."""
    import zarr

    made = record(out)
    tell_certificate(story, made)
    group: Any = zarr.open_group(out, mode="r")
    s, Vt, resolved = (np.asarray(group[name][...]) for name in ("s", "Vt", "resolved"))
    exact = spectrum()
    truth = exact[: s.size]
    inside = held(out, truth, rounding(COLUMNS, exact))
    left_out = float(np.sqrt(np.sum(exact[s.size :] ** 2) / np.sum(exact**2)))
    story.fact("modes resolved", f"{int(resolved.sum())} of {s.size} to one millionth")
    story.check("true values in interval", f"{sum(inside)} of {s.size}", holds=all(inside))
    story.fact("true error of resolved", f"{worst(s[resolved], truth[resolved]):.1e} relative, the largest")
    story.fact("true error of the rest", f"{worst(s[~resolved], truth[~resolved]):.1e} relative, the largest")
    story.fact("best error of any rank", f"{left_out:.6g} relative, for rank {s.size}")
    overlap = np.abs(np.sum(Vt[:SIGNAL] * right_vectors()[:SIGNAL], axis=1))
    story.fact("vectors of the signal", f"1 - |v . v_true| at most {max(float(1 - overlap.min()), 0):.1e}")


def tell_memory(story: Story, out: Path, peak: int, limit_bytes: int) -> None:
    """Peak memory beside the plan and the limit."""
    planned = record(out)["plan"]["peak_bytes"]
    text = f"{spelt_bytes(peak)}, planned {spelt_bytes(planned)}, limit {spelt_bytes(limit_bytes)}"
    story.check("peak memory", text, holds=peak <= planned <= limit_bytes)
