"""Block Krylov, subspace iteration and the exact Gram matrix: one method with three kinds of step.

Each sweep gives Z = A^H A Q for a block Q. Musco and Musco (2015) use all blocks K = [Q_0 Q_1 ...]. We depart in
three places. (1) One read a sweep, since A Q is never needed except in the last. (2) The last block is not the next
Krylov block but the l leading right singular vectors of (A K)'s projection B = T^H [Z_0 Z_1 ...]^H (T whitens K^H Z):
half a power step beyond Ritz vectors, known without a read, and graded, which keeps float32 safe. (3) When the modes
asked for lie below what float32 products can show, the rest is multiplied in float64.

    sweep 1 .. p-1:  Z_j = A^H A Q_j;   Q_{j+1} = orth(Z_j - K K^H Z_j)
    sweep p:         Y = A Q, Z = A^H Y, G = Y^H Y with Q = top_l(B);   U = Y T u, u s V^H = svd(T^H Z^H)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from rnla.algorithms.certificate import PROBES, Evidence, Squared, beyond_basis, energy_rounding, joint_basis
from rnla.arrays import Array, accumulator_dtype, real_eps
from rnla.kernels.subspaces import Factors, eigh, factors, orth, ritz_factors
from rnla.streams import normal
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import ColumnNorms, Gram, Inner, OwnMoments, Product, Right, RowNorms, SumOfSquares
from rnla.sweeps.settling import first_sweep, in_range
from rnla.sweeps.source import Tall, Workspace

Kind = Literal["krylov", "subspace", "gram", "sketch"]
INDEPENDENT = 1e-6  # eigenvalues of Y^H Y, of unit columns, below this are rounding: so U is orthonormal to 1e-9
UNRESOLVED = 1000.0  # modes with (sigma_k / sigma_1)^2 below this many roundings need more precision


class State(NamedTuple):
    """Everything known between sweeps; arrays and numbers only, so that a checkpoint needs no code."""

    sweeps: int
    Q: Array  # (n, l) next block
    K: Array  # (n, d) orthonormal blocks so far
    Z: Array  # (n, d) A^H A K
    energy: float
    centre: Array | None  # what the first sweep found out about the view
    scale: Array | None
    fill: Array | None
    unit: float
    settled: bool
    promoted: bool  # multiplying in float64 although the data is float32
    last: bool  # the next sweep is the last
    finished: bool
    G: Array  # (l, l) Y^H Y of the last sweep
    ZQ: Array  # (n, l) A^H A Q of the last sweep
    ZW: Array  # (n, r) A^H A W of the probes
    W2: Array  # (n, r) C W / turn, C being A^H A on the complement of K; empty if never computed
    ZW2: Array  # (n, r) A^H A W2
    turn: float  # length of the columns of C W, about
    squares: Array  # (n,) squared norms of the columns, if they were wanted; else empty


class Extra(NamedTuple):
    """What the last sweep writes besides, row by row."""

    moments: Tall | None = None  # (m, 2) means and deviations of rows
    squares: Tall | None = None  # (m, 1) squared norms of rows; those of the columns come along


NOTHING = Extra()


@dataclass(frozen=True)
class Krylov:
    """A block method for the leading k singular triplets of A, swept by rows."""

    A: Matrix
    workspace: Workspace
    k: int | None  # None: as many as the tolerance needs
    width: int  # columns of a block
    sweeps: int  # at most; 2 at least, 1 for a sketch
    oversample: int
    seed: int
    kind: Kind = "krylov"
    tolerance: float | None = None
    extra: Extra = NOTHING
    rough: bool = False  # never multiplied in float64 for small modes

    def start(self) -> State:
        """A random orthonormal block; nothing is read."""
        n = self.A.shape[1]
        wide = accumulator_dtype(self.A.dtype)
        omega = normal(self.seed, "start", n, min(self.width, n), complex_=wide.kind == "c")
        none = np.zeros((n, 0), dtype=wide)
        square = np.zeros((0, 0), dtype=wide)
        Q = rounded(orth(omega), self.A)
        return State(
            sweeps=0,
            Q=Q,
            K=none,
            Z=none,
            energy=0.0,
            centre=None,
            scale=None,
            fill=None,
            unit=1.0,
            settled=False,
            promoted=False,
            last=False,
            finished=False,
            G=square,
            ZQ=none,
            ZW=none,
            W2=none,
            ZW2=none,
            turn=1.0,
            squares=np.zeros(0),
        )

    def done(self, state: State) -> bool:
        """Whether the last sweep was made."""
        return state.finished

    def step(self, state: State) -> State:
        """One more sweep."""
        if self.kind == "sketch":
            return self._only(state)
        if not state.settled:
            return self._first(state)
        return self._last(state) if state.last else self._middle(state)

    def view(self, state: State) -> Matrix:
        """The matrix as the first sweep settled it."""
        A = self.A
        if state.settled and not A.settled:
            A = replace(A, centring=False, scaling=False)
        if state.settled:
            found = replace(A.transform, centre=state.centre, scale=state.scale, fill=state.fill, unit=state.unit)
            A = replace(A, transform=found)
        return A.astype(accumulator_dtype(A.dtype)) if state.promoted else A

    def _first(self, state: State) -> State:
        exact = self.kind == "gram"
        A = self.A.astype(accumulator_dtype(self.A.dtype)) if exact else self.A
        found = first_sweep(A, None if exact else state.Q)
        view = found.matrix.transform
        state = state._replace(
            sweeps=1,
            energy=found.energy,
            centre=view.centre,
            scale=view.scale,
            fill=view.fill,
            unit=view.unit,
            settled=True,
            promoted=exact,
        )
        if found.Q is None:
            return self._after_gram(state, found.Z)
        K, Z = joint_basis([(found.Q, found.Z)], 0.0)
        if self.A.dtype.itemsize == accumulator_dtype(self.A.dtype).itemsize:
            return self._prepared(state, K, Z)
        seen = ritz_factors(K, Z)
        wanted = min(self.k or self.width, K.shape[1])
        hidden = seen.s.size < wanted or seen.s[wanted - 1] ** 2 < UNRESOLVED * real_eps(self.A.dtype) * seen.s[0] ** 2
        if self.tolerance is not None:
            hidden |= self.tolerance**2 < 4 * energy_rounding(1.0, real_eps(self.A.dtype))
        if hidden and Z.any() and not self.rough:
            # float32 hides the modes asked for: go on in float64, from the power step that is known
            start = orth(np.hstack([seen.Vh.conj().T, Z]))[:, : K.shape[1]]
            state = state._replace(promoted=True, Q=start, K=K[:, :0], Z=Z[:, :0])
            return state._replace(last=self.sweeps <= 2)
        return self._prepared(state, K, Z)

    def _after_gram(self, state: State, C: Array) -> State:
        """With all of A^H A known: its leading eigenvectors, and the last sweep next.

        Eigenvectors below eps lambda_1 are rounding, but those above have almost nothing of the large ones in them, and
        the last sweep starts from there with graded columns: singular values down to 1e-6 sigma_1 come out right.
        """
        w, V = eigh((C + C.conj().T) / 2)
        V = V[:, ::-1]
        k = self.k or self._rank(np.sqrt(np.maximum(w[::-1], 0.0)), state.energy) or C.shape[0]
        width = min(k + self.oversample, C.shape[0])
        return state._replace(K=np.eye(C.shape[0], dtype=C.dtype), Z=C, Q=V[:, :width], last=True)

    def _only(self, state: State) -> State:
        """Y, Z and Y^H Y of a random block in the only sweep (Halko, Martinsson and Tropp 2011, without iterations)."""
        n, l = state.Q.shape
        X = np.hstack([state.Q, probes(self.seed, n, self.A)])
        Y = self.workspace.tall("Y", (self.A.shape[0], l), self.A.dtype, self.A.geometry.tall_rows)
        wanted: list[Product] = [Right(X, Y, columns=l), Gram(X), Inner(X, columns=l), *extras(self.extra)]
        (_, Z, G, *more), tally, view = in_range(self.A, *wanted)
        return state._replace(
            sweeps=1,
            energy=tally.energy,
            unit=view.transform.unit,
            settled=True,
            finished=True,
            squares=state.squares if self.extra.squares is None else more[0],
            G=G,
            ZQ=Z[:, :l],
            ZW=Z[:, l:],
        )

    def _middle(self, state: State) -> State:
        A = self.view(state)
        l = state.Q.shape[1]
        probed = self.kind == "krylov" and state.sweeps + 1 == self.sweeps - 1
        X = np.hstack([state.Q, probes(self.seed, A.shape[1], A)]) if probed else state.Q
        (Z,) = A.sweep(Gram(X))
        state = state._replace(sweeps=state.sweeps + 1, ZW=Z[:, l:])
        Z = Z[:, :l]
        if self.kind == "krylov":
            return self._prepared(state, np.hstack([state.K, state.Q]), np.hstack([state.Z, Z]))
        return self._prepared(state, state.Q, Z)

    def _prepared(self, state: State, K: Array, Z: Array) -> State:
        """The block for the next sweep: the next Krylov block, or what the last sweep is made with."""
        state = state._replace(K=K, Z=Z)
        seen = ritz_factors(K, Z)
        rank = self.k or self._rank(seen.s, state.energy)
        reached = rank is not None and self._rank(seen.s[:rank], state.energy) is not None
        width = self.width if self.kind == "krylov" else K.shape[1]
        fresh = orth(Z[:, -width:] if Z.shape[1] > width else Z, against=K)[:, : self.width]
        exhausted = fresh.shape[1] == 0 or (self.kind != "subspace" and K.shape[1] + fresh.shape[1] > K.shape[0])
        if state.sweeps < self.sweeps - 1 and not reached and not exhausted:
            following = orth(Z) if self.kind == "subspace" else fresh
            return state._replace(Q=rounded(following, self.view(state)))
        final = min((rank or K.shape[1]) + self.oversample, K.shape[0])
        leading = seen.Vh[:final].conj().T
        if leading.shape[1] < final:  # directions under the rounding of K^H Z: take them as they come
            leading = np.hstack([leading, orth(np.hstack([fresh, K]), against=leading)])[:, :final]
        state = self._probed_again(state) if state.ZW.shape[1] else state
        return state._replace(Q=rounded(leading, self.view(state)), last=True)

    def _probed_again(self, state: State) -> State:
        """C W for the last sweep, so that it gives C^2 W."""
        A = self.view(state)
        X, Z = joint_basis([(state.K, state.Z)], 0.0)
        W = probes(self.seed, A.shape[1], A)
        CW = state.ZW - Z @ (X.conj().T @ W)
        CW -= X @ (X.conj().T @ CW)
        turn = float(np.linalg.norm(CW)) / np.sqrt(CW.size) or 1.0
        return state._replace(W2=rounded(CW / turn, A), turn=turn)

    def _last(self, state: State) -> State:
        A = self.view(state)
        n, l = state.Q.shape
        again = state.W2.shape[1] > 0
        X = np.hstack([state.Q, state.W2 if again else probes(self.seed, n, A)])
        Y = self.workspace.tall("Y", (A.shape[0], l), A.dtype, A.geometry.tall_rows)
        products: list[Product] = [Right(X, Y, columns=l), Gram(X), Inner(X, columns=l)]
        products += extras(self.extra)
        if not self._measured(state):
            products.append(SumOfSquares())
        _, Z, G, *more = A.sweep(*products)
        return state._replace(
            sweeps=state.sweeps + 1,
            finished=True,
            energy=state.energy if self._measured(state) else more[-1],
            squares=state.squares if self.extra.squares is None else more[0],
            G=G,
            ZQ=Z[:, :l],
            **({"ZW2": Z[:, l:]} if again else {"ZW": Z[:, l:]}),
        )

    def _measured(self, state: State) -> bool:
        """Whether the first sweep summed the squares of the very entries that the last one multiplies."""
        return self.A.settled and self.kind != "gram" and not state.promoted

    def _rank(self, s: Array, energy: float) -> int | None:
        """Smallest rank within the tolerance, if these singular values reach it."""
        if self.tolerance is None:
            return None
        return rank_within(s, energy, self.tolerance, energy_rounding(energy, real_eps(self.A.dtype)))


def extras(wanted: Extra) -> list[Product]:
    """Products of the last sweep besides its own; the norms of the columns come first."""
    products: list[Product] = [] if wanted.squares is None else [ColumnNorms(), RowNorms(wanted.squares)]
    return products if wanted.moments is None else [*products, OwnMoments(wanted.moments)]


def rank_within(s: Array, energy: float, tolerance: float, hidden: float) -> int | None:
    """Smallest r >= 1 with ||A||_F^2 - (s_1^2 + ... + s_r^2) <= (tolerance ||A||_F)^2; None if none is enough.

    `hidden` is the squared error that rounding may hide.
    """
    rest = np.maximum(energy - np.cumsum(s**2), 0.0) + hidden
    reached = np.flatnonzero(rest <= tolerance**2 * energy)
    return int(reached[0]) + 1 if reached.size else None


def rounded(Q: Array, A: Matrix) -> Array:
    """Q rounded to the precision it is multiplied in, so that A^H A Q is known of exactly this Q."""
    return Q.astype(A.dtype).astype(accumulator_dtype(A.dtype))


def probes(seed: int, n: int, A: Matrix) -> Array:
    """Gaussian probes that no basis has seen: (n, r)."""
    return rounded(normal(seed, "probes", n, PROBES, complex_=A.dtype.kind == "c"), A)


def _squared(state: State, cut: float) -> Squared | None:
    """What the probes of the last two sweeps know of C^2, C being A^H A on the complement of the blocks K."""
    if not state.ZW2.shape[1]:
        return None
    K, Z = joint_basis([(state.K, state.Z)], 0.0)
    CCW = state.turn * (state.ZW2 - K @ (K.conj().T @ state.ZW2))
    return Squared(*joint_basis([(K, Z), (state.Q, state.ZQ)], cut), CCW)


class Extracted(NamedTuple):
    """The factors of the last sweep and what the certificate needs."""

    factors: Factors
    evidence: Evidence
    Y: Tall
    unit: float
    view: Matrix
    squares: Array  # (n,) squared norms of the columns, if wanted


def extract(method: Krylov, state: State) -> Extracted:
    """Factors from the last sweep: U = Y C, s, Vh, in units of the settled view."""
    A = method.view(state)
    found = factors(state.G, state.ZQ, INDEPENDENT)
    cut = 1e-2 if real_eps(A.dtype) > 1e-10 else 1e-5
    exact = method.kind == "gram"
    blocks = [(state.Q, state.ZQ)] if exact else [(state.Q, state.ZQ), (state.K, state.Z)]
    X, Z = joint_basis(blocks, cut)
    summed = state.Q.conj().T @ state.ZQ
    evidence = Evidence(
        state.energy,
        A.eps,
        real_eps(A.dtype),
        X,
        Z,
        probes(method.seed, A.shape[1], A),
        state.ZW,
        state.Q,
        difference=state.G - (summed + summed.conj().T) / 2,
        means=A.transform.rounding_of_means(A.shape[0]) if method.A.centring else 0.0,
        squared=_squared(state, cut),
        beyond=beyond_basis(state.Z, X, Z) if exact else np.inf,
    )
    Y = method.workspace.tall("Y", (A.shape[0], state.Q.shape[1]), A.dtype, A.geometry.tall_rows)
    return Extracted(found, evidence, Y, state.unit, A, state.squares)
