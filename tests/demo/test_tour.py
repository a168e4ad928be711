"""The demo as a person runs it, small; and the limit of memory that it puts on itself."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from rich.console import Console

from rnla.demo import run as run_demo
from rnla.demo.generated import Panels
from rnla.demo.story import Story
from rnla.demo.tour import (
    BLOCK_BYTES,
    LIMIT_BYTES,
    SPARE_BYTES,
    environment,
    fitting,
    followed,
    refuse_foreign,
    sea_surface,
)
from rnla.errors import DoesNotFitError, OutputExistsError, RnlaError


def recording():
    return Console(file=io.StringIO(), width=200)


@pytest.mark.slow
def test_demo_keeps_its_promises_and_removes_the_big_store(tmp_path):
    console = recording()
    code = run_demo(console, tmp_path, blocks=3)
    told = console.file.getvalue()
    assert code == 0, told
    assert "correlation 0.868" in told
    assert "BROKEN" not in told
    assert "50 of 50  [holds]" in told
    assert str(tmp_path / "sea-surface.html") in told
    assert str(tmp_path / "generated.html") in told
    assert not (tmp_path / "generated.zarr").exists()
    page = (tmp_path / "sea-surface.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 8  # four maps, four colour bars
    assert "Mode 1 (El Niño): time series" in page
    assert sea_surface(Story(console), tmp_path) == tmp_path / "sea-surface.html"  # again in the same folder


def bounded(**request):
    job = {"pipeline": "svd", "options": {"k": 5}, "threads": 1} | request
    done = subprocess.run(
        [sys.executable, "-m", "rnla.demo.bounded", json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_bounded_process_tells_its_plan_and_its_peak(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=Panels(1, 512).block(0))
    code, events, stderr = bounded(
        store=str(tmp_path / "a.zarr"), out=str(tmp_path / "o.zarr"), memory_bytes=LIMIT_BYTES
    )
    assert (code, stderr) == (0, "")
    assert [event["event"] for event in events][:2] == ["limited", "planned"]
    assert events[-1]["event"] == "peak"
    assert 20_000_000 < events[-1]["rss_bytes"] < LIMIT_BYTES


def test_job_that_does_not_fit_the_limit_is_refused_before_it_reads(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(10**6, 20_000), chunks=(8000, 20_000), dtype="float32")  # no data
    code, events, stderr = bounded(
        store=str(tmp_path / "a.zarr"), out=str(tmp_path / "o.zarr"), memory_bytes=LIMIT_BYTES
    )
    assert (code, stderr) == (5, "")
    assert [event["event"] for event in events] == ["limited", "failed"]
    with pytest.raises(RnlaError, match="plan needs"):
        followed(Story(recording()), iter(events))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA is enforced on Linux only")
def test_operating_system_enforces_the_limit():
    code = (
        "import numpy as np; from rnla.demo.bounded import enforce; print(enforce(400_000_000))\n"
        "try: np.ones(60_000_000)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "refused"]


def test_small_disk_shrinks_the_matrix_and_says_so(tmp_path, monkeypatch):
    free = SPARE_BYTES + 5 * BLOCK_BYTES
    monkeypatch.setattr("rnla.demo.tour.shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    console = recording()
    assert fitting(Story(console), tmp_path, 128) == 5
    assert "instead of 2.147 GB" in console.file.getvalue()
    assert fitting(Story(recording()), tmp_path, 3) == 3
    monkeypatch.setattr("rnla.demo.tour.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(DoesNotFitError, match="give another folder"):
        fitting(Story(recording()), tmp_path, 128)


def test_store_that_the_demo_did_not_make_is_left_alone(tmp_path):
    place = tmp_path / "sea-surface.zarr"
    zarr.create_array(place, data=np.eye(2))
    with pytest.raises(OutputExistsError, match="give another folder"):
        refuse_foreign(place)
    with pytest.raises(OutputExistsError):
        run_demo(recording(), tmp_path)
    np.testing.assert_array_equal(zarr.open_array(place)[...], np.eye(2))


def test_broken_promise_is_told_and_counted():
    story = Story(recording())
    story.check("peak memory", "2 GB, planned 1 GB", holds=False)
    assert story.broken == ["peak memory"]
    assert "BROKEN" in story.console.file.getvalue()
