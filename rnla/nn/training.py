"""`rnla.nn.train` and `rnla.nn.predict`: networks over stored matrices."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from rnla.algorithms.delivery_training import told_of, trained_from
from rnla.algorithms.network import Network, predicted
from rnla.algorithms.regime import checked_regime
from rnla.algorithms.samples import Rooms, held_rows, limit_of, prepared, standardised, stored_bytes
from rnla.algorithms.trained import Trained
from rnla.algorithms.training import Descent, Training, trained
from rnla.checks import flag, integer
from rnla.errors import DivergedError, RequestError
from rnla.jobs.running import cost_of
from rnla.opening import open_column, open_matrix
from rnla.public.loading import dasked
from rnla.public.ready import ready
from rnla.records import input_record
from rnla.sweeps.copies import epoch_bytes, worth_copying
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.orders import Order
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
    allow_missing: bool = False,
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
        replica with a batch K times as large. Default: about 3 s of work, at least four rounds an epoch. K and H
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
        Take the mean of the parameters over the rounds of the second half of the epochs; nothing where patience ends
        training before.
    outer_momentum, outer_rate : float
        Of the step towards the mean of the replicas (DiLoCo); 0 and 1: the mean.
    standardise : bool
        Centre and scale columns, cut entries off ten deviations from the mean (what varies in a few samples alone is
        far out in others), and scale all by 8 / sqrt(n) where n > 64, so that samples have a mean length of 8 at most:
        as the pipeline and `rnla.nn.Classifier` do. Means and deviations are those of the rows that are trained on.
        With loss="square" targets are centred and scaled too, losses are of those, and the network that is given, in
        float64, has outputs in units of the targets.
    allow_missing : bool
        Read chunks that are absent from stores, of X or y, as their fill value: Zarr does not write chunks of zeros,
        such as those of labels that are sorted.

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
        The loss is no number any more, or 10,000 times that at the start; `error.trained` is the `Trained` with the
        last finite parameters.
    DoesNotFitError, IntegrityError
        As for `rnla.svd`.

    Notes
    -----
    Passes: 1 (of targets that are standardised 2), for means, NaN and the samples held out, and 1 for each epoch; data
    of at most 128 MB (one buffer) is read once more only. Memory follows the buffers and the network, not the number
    of samples.

    Examples
    --------
    >>> import numpy, rnla
    >>> X = numpy.random.default_rng(0).standard_normal((200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> found = rnla.nn.train(rnla.nn.Network((2, 16, 2)), X, y, epochs=30, batch=10, seed=1)
    >>> bool(found.certificate.accuracy > 0.9), found.certificate.held_out
    (True, 20)
    """
    options = {
        "loss": loss,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "batch": batch,
        "epochs": epochs,
        "replicas": replicas,
        "local_steps": local_steps,
        "patience": patience,
        "weight_decay": weight_decay,
        "clip": clip,
        "schedule": schedule,
        "warmup": warmup,
        "averaging": averaging,
        "outer_momentum": outer_momentum,
        "outer_rate": outer_rate,
        "sampling": sampling,
        "seed": integer(seed, "seed"),
    }
    refuse_other(network)
    columns = flag(standardise, "standardise")
    scaled = columns and loss == "square"
    A, targets = ready(open_matrix(X, allow_missing=allow_missing)), open_column(y, allow_missing=allow_missing)
    return fitted(network, A, targets, options, validation=validation, columns=columns, targets=scaled)


def fitted(
    network: Network, A: Matrix, y: Matrix, options: dict[str, Any], *, validation: Any, columns: bool, targets: bool
) -> Trained:
    """What `train` does once its matrices are open; `columns` and `targets`: to be standardised."""
    m, n = A.shape
    held = held_rows(m, n, network.dtype.itemsize, validation, options["seed"])
    regime = checked_regime(network.widths, m - held.size, held.size, **options)
    record = {"config": kept_options(network, options, validation, standardise=columns), "input": input_record(A)}
    A.meter.tallies.extend(y.meter.tallies)  # of who looked at the targets before
    A, y = standardised(A) if columns else A, replace(y, meter=A.meter)
    room = aside(A)
    rooms, limit = Rooms(y=None if room is None else room.workspace), limit_of(n) if columns else None
    made = prepared(A, y, network, regime, held, rooms, limit, scaled=targets)
    if worth_copying(A.source, A.source, made.samples.order, regime.epochs):
        warn_of_chunks(A, made.samples.order)

    def told(found: Training, diverged: str | None = None) -> Trained:
        arrays, proof = told_of(found, made, regime.loss, diverged)
        plain = {name: array for name, (array, _) in arrays.items()}
        return trained_from(plain, proof, cost_of(A, found.seconds, y), record, network.seed)

    try:
        return told(trained(Descent(network, made.samples, made.held_out, regime, A)))
    except DivergedError as error:
        error.trained = told(error.so_far, str(error))
        raise


def warn_of_chunks(A: Matrix, order: Order) -> None:
    """A warning that chunks are decoded over and over, with what helps."""
    times = epoch_bytes(A.source, A.source, order) / stored_bytes(A)
    warnings.warn(
        f"each epoch decodes the samples {times:.1f} times: their chunks are decoded whole and do not fit blocks of "
        f"{order.block_rows:,} rows. Write them anew (rnla rechunk), or train by a job (rnla run train), which copies",
        stacklevel=4,
    )


def kept_options(network: Network, options: dict[str, Any], validation: Any, **others: Any) -> dict[str, Any]:
    """How a network was trained, in the words of the pipeline: numbers of Python."""
    hidden, outputs = list(network.widths[1:-1]), network.widths[-1]
    found = {"hidden": hidden, "outputs": outputs, **options, "validation": validation, **others}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}


def predict(network: Network | Trained, X: Any) -> Any:
    """F at each row of a matrix, panel by panel: (m, n) -> (m, outputs), a Dask array when X is stored.

    Parameters
    ----------
    network : Network or Trained
        A `Trained` sees X as it was trained: centred, scaled, cut off.
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
    A, limit = (network.view(A), network.limit) if isinstance(network, Trained) else (A, None)
    room = desk(A, value_bytes=A.shape[0] * net.widths[-1] * net.dtype.itemsize)
    return dasked(room.lazy(predicted(net, A, room.workspace, limit)))


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
