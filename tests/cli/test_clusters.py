import json
import socket
from contextlib import suppress

import pytest
import zarr

from rnla.cli.clusters import Machines, closed
from rnla.errors import ClusterError, RequestError


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("tcp://127.0.0.1:8786", True),
        ("127.0.0.1:8786", True),
        ("tcp://localhost:8786", True),
        ("tcp://[::1]:8786", True),
        ("tls://10.0.0.1:8786", True),
        ("tcp://10.0.0.1:8786", False),
        ("10.0.0.1:8786", False),
        ("scheduler:8786", False),
        ("ws://10.0.0.1:8786", False),
        ("tcp://127.0.0.1.example.org:8786", False),
    ],
)
def test_plain_tcp_is_for_loopback(address, safe):
    assert closed(address) is safe
    if safe:
        Machines(scheduler=address)
    else:
        with pytest.raises(RequestError, match="--insecure"):
            Machines(scheduler=address)
        Machines(scheduler=address, insecure=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"scheduler": "127.0.0.1:1", "workers": 2},
        {"scheduler": "127.0.0.1:1", "threads": 2},
        {"worker_memory_bytes": 10**9},
    ],
)
def test_contradictions_are_refused(settings):
    with pytest.raises(RequestError, match="--"):
        Machines(**settings)


def test_a_scheduler_that_is_not_there_is_a_cluster_error(command, store, monkeypatch):
    monkeypatch.setattr("rnla.cli.clusters.CONNECT_SECONDS", 0.5)
    done = command("plan", "svd", store, "--k", 2, "--scheduler", "tcp://127.0.0.1:9")
    assert done.exit_code == ClusterError.exit_code
    assert "no scheduler answers at tcp://127.0.0.1:9" in done.stderr


@pytest.fixture
def others_dashboard():
    """Port 8787 is taken, by this socket or by whoever has it already."""
    with socket.socket() as held:
        with suppress(OSError):
            held.bind(("", 8787))
            held.listen()
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("others_dashboard")
def test_another_cluster_on_this_machine_is_no_nuisance(process, store):
    done = process("plan", "svd", store, "--k", 3, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.slow
def test_workers_and_threads_give_the_same_bits(process, store, tmp_path):
    common = ["run", "svd", store, "--k", 3, "--json", "--out"]
    cluster = process(*common, tmp_path / "c.zarr", "--workers", 2, "--worker-memory", "1GB")
    assert cluster.returncode == 0, cluster.stderr
    json.loads(cluster.stdout)
    assert process(*common, tmp_path / "t.zarr").returncode == 0
    for name in ("U", "s", "Vt"):
        ours, theirs = (zarr.open_array(f"{tmp_path}/{place}.zarr/{name}", mode="r")[...] for place in "ct")
        assert ours.tobytes() == theirs.tobytes()
