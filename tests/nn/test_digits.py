"""Networks on real images: MNIST from Zarr and 900 pieces of Fashion-MNIST, as accurate as they should be."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import zarr
from distributed import Client

import rnla

SHARED = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="no folder shared/data beside the repository")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """50,000 images to train on and 10,000 to test, in stores; the labels of the latter."""
    folder = tmp_path_factory.mktemp("digits")
    read = []
    for name in ("images-idx3", "labels-idx1"):
        with gzip.open(SHARED / "mnist_train" / f"train-{name}-ubyte.gz") as stream:
            read.append(stream.read())
    X = np.frombuffer(read[0], np.uint8, offset=16).reshape(-1, 784)
    y = np.frombuffer(read[1], np.uint8, offset=8)
    zarr.create_array(str(folder / "X"), data=X[:50_000], chunks=(1000, 784))
    zarr.create_array(str(folder / "y"), data=y[:50_000], chunks=(5000,))
    zarr.create_array(str(folder / "few X"), data=X[:12_000], chunks=(1000, 784))
    zarr.create_array(str(folder / "few y"), data=y[:12_000], chunks=(5000,))
    zarr.create_array(str(folder / "test"), data=X[50_000:], chunks=(1000, 784))
    return folder, y[50_000:]


def accuracy(folder, known, X, y, hidden, **options):
    """Share of the test images that are decided rightly; the network."""
    A = rnla.open(folder / X).weighted(columns=np.full(784, 1 / 255))
    found = rnla.nn.train(rnla.nn.Network((784, *hidden, 10)), A, folder / y, validation=0, **options)
    return (np.asarray(rnla.nn.predict(found, folder / "test")).argmax(axis=1) == known).mean(), found


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_twelve_thousand_images_and_64_neurons(digits, replicas):
    assert accuracy(*digits, "few X", "few y", (64,), replicas=replicas)[0] >= 0.95


def test_what_is_held_out_tells_of_new_images(digits):
    folder, known = digits
    found = rnla.nn.train(rnla.nn.Network((784, 64, 10)), folder / "few X", folder / "few y", standardise=True)
    Z = np.asarray(rnla.nn.predict(found, folder / "test")).astype("f8")
    Z -= Z.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(known.size), known]).mean()
    assert (Z.argmax(axis=1) == known).mean() >= 0.95
    assert (
        loss < 1.25 * found.certificate.validation_loss
    )  # 2.0, where means know what is held out and nothing is cut off


@pytest.mark.slow
def test_fifty_thousand_images_and_128_neurons_by_one_and_four_replicas(digits):
    alone, _ = accuracy(*digits, "X", "y", (128,))
    four, _ = accuracy(*digits, "X", "y", (128,), replicas=4)
    assert alone >= 0.97
    assert four >= alone - 0.005


def test_workers_change_no_bit_of_a_network_that_reads_digits(digits):
    options = {"replicas": 2, "epochs": 2}
    _, expected = accuracy(*digits, "few X", "few y", (64,), **options)
    for workers in (1, 2):
        with Client(processes=False, n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
            _, found = accuracy(*digits, "few X", "few y", (64,), **options)
        assert found.network.parameters.tobytes() == expected.network.parameters.tobytes()


def test_pieces_of_clothing():
    with np.load(SHARED / "fashion_mnist_900" / "fashion900.npz") as kept:
        X, y = kept["X"].reshape(900, 784), kept["y"]
    test = np.arange(900) % 3 == 0
    scores = [
        rnla.nn.Classifier((64,), learning_rate=0.02, batch=32, epochs=40, seed=seed)
        .fit(X[~test], y[~test])
        .score(X[test], y[test])
        for seed in range(3)
    ]
    assert np.mean(scores) >= 0.80  # scikit-learn's MLPClassifier: 0.823, 0.813, 0.813
