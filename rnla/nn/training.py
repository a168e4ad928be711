"""`rnla.nn.train` and `rnla.nn.predict`: networks over stored matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnla.algorithms.delivery_training import trained_of
from rnla.algorithms.network import Network, predicted
from rnla.algorithms.regime import checked_regime
from rnla.algorithms.samples import Rooms, held_rows, prepared
from rnla.algorithms.samples import standardised as standardised_view
from rnla.algorithms.trained import Trained
from rnla.algorithms.training import Descent, trained
from rnla.checks import flag, integer
from rnla.errors import RequestError
from rnla.jobs.running import cost_of
from rnla.opening import open_column
from rnla.public.loading import dasked
from rnla.public.ready import ready
from rnla.sweeps.matrix import Matrix
from rnla.temporaries import Desk, desk


def train(  # noqa: PLR0913 - options are keywords
    network: Network,
    X: Any,
    y: Any,
    *,
    loss: str = "cross-entropy",
    optimizer: str = "sgd",
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    batch: int = 64,
    epochs: int = 15,
    sampling: str = "permutation",
    replicas: int = 1,
    local_steps: int | None = None,
    validation: float = 0.1,
    patience: int | None = None,
    seed: int = 0,
    weight_decay: float = 0.0,
    clip: float | None = None,
    schedule: str = "constant",
    warmup: int = 0,
    averaging: bool = False,
    outer_momentum: float = 0.0,
    outer_rate: float = 1.0,
    standardise: bool = False,
) -> Trained:
    """Fit a network to samples by stochastic gradient descent, read in shuffled blocks of any store.

    Parameters
    ----------
    network : Network
        Where descent starts; it is not changed.
    X : Matrix, or anything that `rnla.open` takes
        m x n, a row for each sample; `rnla.open(X).centred().scaled()` standardises columns.
    y : array of length m, or m x c
        Labels 0, 1, ... ("cross-entropy", "hinge"; -1 and 1 for "hinge" with one output), or numbers ("square"): numpy,
        a path or URL of a Zarr array, a zarr.Array, a Dask array.
    loss : {"cross-entropy", "hinge", "square"}
        Mean over the samples of a batch: log sum_j exp z_j - z_y; max(0, 1 + max_(j != y) z_j - z_y), or
        max(0, 1 - y z) with one output; |z - y|^2 / 2.
    optimizer : {"sgd", "nesterov", "adam"}
        With `momentum`; "adam" has moments of its own.
    learning_rate, schedule, warmup
        The rate, and how it goes on: "constant", "1/k" (halved after a tenth of all steps), "cosine" (to zero at the
        end); growing linearly over the first `warmup` steps.
    batch : int
        Samples of a step of each replica.
    epochs : int
        How often all samples are taken, at most.
    sampling : {"permutation", "replacement", "norm-squared"}
        Every sample once an epoch in a fresh order; drawn with replacement; or drawn by |x|^2 + 1, with weights that
        keep the gradient unbiased. Draws are made within buffers of 32 blocks of 4 MB.
    replicas, local_steps : int
        K replicas make H steps each between averages. With H = 1 they average gradients: the same to rounding as one
        replica with a batch K times as large. Default: about 1.5 s of work, at least four rounds an epoch. K and H
        are part of the configuration: how many workers there are changes no bit.
    validation : float or int
        Share or number of the samples that are held out (at most 64 MB of them, kept in memory).
    patience : int, optional
        Stop when the loss of the samples held out has not fallen for so many epochs, and keep the best parameters.
    seed : int
        Of everything random but the initial parameters, which are the network's.
    weight_decay, clip : float
        Pull of parameters towards zero; largest norm of a gradient.
    averaging : bool
        Take the mean of the parameters over the rounds of the second half of the epochs.
    outer_momentum, outer_rate : float
        Of the step towards the mean of the replicas (DiLoCo); 0 and 1: the mean.
    standardise : bool
        Centre and scale columns, and then all by 8 / sqrt(n) where n > 64, so that samples have a mean length of 8 at
        most: as the pipeline and `rnla.nn.Classifier` do. Means and deviations are those of all rows.

    Returns
    -------
    Trained
        `network`, `history` by epoch, `stopped_at`, `certificate`, `cost`.

    Raises
    ------
    RequestError
        A request that cannot be right, labels that the loss cannot take (the first is named), widths that do not fit.
    NonFiniteError
        NaN or infinity in the data, with its place.
    DivergedError
        The loss is no number any more; `error.trained` holds the last finite parameters.
    DoesNotFitError, IntegrityError
        As for `rnla.svd`.

    Notes
    -----
    Passes: 1, for means, NaN and the samples held out, and 1 for each epoch; data of at most 128 MB (one buffer) is
    read once more only. Memory follows the buffers and the network, not the number of samples.

    Examples
    --------
    >>> import numpy, rnla
    >>> X = numpy.random.default_rng(0).standard_normal((200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> found = rnla.nn.train(rnla.nn.Network((2, 16, 2)), X, y, epochs=30, batch=10, seed=1)
    >>> bool(found.certificate.accuracy > 0.9), found.certificate.held_out
    (True, 20)
    """
    A, targets = ready(X), open_column(y)
    A = standardised_view(A) if flag(standardise, "standardise") else A
    refuse_other(network)
    seed = integer(seed, "seed")
    held = held_rows(A.shape[0], A.shape[1], network.dtype.itemsize, validation, seed)
    regime = checked_regime(
        network.widths,
        A.shape[0] - held.size,
        held.size,
        loss=loss,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        batch=batch,
        epochs=epochs,
        replicas=replicas,
        local_steps=local_steps,
        patience=patience,
        weight_decay=weight_decay,
        clip=clip,
        schedule=schedule,
        warmup=warmup,
        averaging=averaging,
        outer_momentum=outer_momentum,
        outer_rate=outer_rate,
        sampling=sampling,
        seed=seed,
    )
    room = aside(A)
    made = prepared(A, targets, network, regime, held, Rooms(y=None if room is None else room.workspace))
    method = Descent(network, made.samples, made.held_out, regime, A)
    found = trained(method)
    return trained_of(found, made, cost_of(A, found.seconds, targets))


def predict(network: Network | Trained, X: Any) -> Any:
    """F at each row of a matrix, panel by panel: (m, n) -> (m, outputs), a Dask array when X is stored.

    Parameters
    ----------
    network : Network or Trained
        A `Trained` centres and scales X as it was trained.
    X : Matrix, or anything that `rnla.open` takes

    Raises
    ------
    RequestError
        X has another number of columns.

    Notes
    -----
    Passes: 1. Values are written panel by panel to a temporary folder; labels are `argmax(axis=1)` of them.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.nn.predict(rnla.nn.Network((3, 5, 2)), numpy.zeros((4, 3))).shape
    (4, 2)
    """
    net = network.network if isinstance(network, Trained) else network
    refuse_other(net)
    A: Matrix = ready(X)
    if A.shape[1] != net.widths[0]:
        msg = f"the network takes {net.widths[0]} inputs and X has {A.shape[1]} columns"
        raise RequestError(msg)
    if A.shape[0] == 0:
        return dasked(np.empty((0, net.widths[-1]), net.dtype))
    A = network.view(A) if isinstance(network, Trained) else A
    room = desk(A, value_bytes=A.shape[0] * net.widths[-1] * net.dtype.itemsize)
    return dasked(room.lazy(predicted(net, A, room.workspace)))


def aside(A: Matrix) -> Desk | None:
    """Room for a copy of targets; none where workers do not see this machine's folders."""
    try:
        return desk(A)
    except RequestError:
        return None


def refuse_other(network: Any) -> None:
    """RequestError for what is no network."""
    if not isinstance(network, Network):
        msg = f"network={network!r} must be a rnla.nn.Network, such as rnla.nn.Network((784, 64, 10))"
        raise RequestError(msg)
