"""The `sampled-product` pipeline: A B of two stores, or A A^T of one, from a sample of its terms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from rnla.algorithms.delivery_samples import product_arrays
from rnla.algorithms.forecasts import Machine, plan_product
from rnla.algorithms.inner import twins
from rnla.algorithms.planning import Plan
from rnla.algorithms.sampled_product import certified
from rnla.algorithms.sampling import Sampling, checked_sampling, sampled
from rnla.cluster.resources import Resources
from rnla.errors import RequestError
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.opening import open_matrix
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class ProductConfig:
    """Options of `sampled-product`."""

    draws: int | Literal["auto"] = field(
        default="auto", metadata={"help": "terms to draw; auto: as many as --tol needs"}
    )
    tol: float | None = field(default=None, metadata={"help": "expected relative error to reach, between 0 and 1"})
    right: str | None = field(
        default=None, metadata={"help": "store of B, for A B; without it B is the transpose of A"}
    )
    transposed: bool = field(default=False, metadata={"help": "A is the transpose of the store"})
    right_transposed: bool = field(default=False, metadata={"help": "B is the transpose of its store"})
    weights: Literal["product", "norm-squared", "uniform"] = field(
        default="product", metadata={"help": "draw terms by |a||b|, by |a|^2, or all alike"}
    )
    replace: bool = field(default=True, metadata={"help": "draw with replacement, or each term once at most"})
    seed: int = field(default=0, metadata={"help": "seed of the draw and of the probes"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the stores' fill value"})


def view(A: Matrix, config: ProductConfig) -> Matrix:
    """The store, or its transpose; refuses options that cannot be right."""
    if config.draws == "auto" and config.tol is None:
        msg = "give draws, the number of terms, or tol, the expected relative error to reach"
        raise RequestError(msg)
    if config.right is None and config.right_transposed:
        msg = "right_transposed=True: there is no right store; give right, or leave it out for the transpose of A"
        raise RequestError(msg)
    return A.T if config.transposed else A


def right(A: Matrix, config: ProductConfig) -> Matrix:
    """B, which shares the runner of A."""
    if config.right is None:
        return A.T
    B = open_matrix(config.right, missing=config.missing, allow_missing=config.allow_missing)
    B = replace(B, runner=A.runner)
    return B.T if config.right_transposed else B


def others(A: Matrix, config: ProductConfig) -> dict[str, Matrix]:
    """B, unless it is A^T and read together with A."""
    B = right(A, config)
    return {} if twins(A, B) else {"right": B}


def request(A: Matrix, B: Matrix, config: ProductConfig) -> Sampling:
    """The options as a checked request."""
    return checked_sampling(
        A.shape,
        B.shape,
        config.draws,
        tol=config.tol,
        weights=config.weights,
        replace=config.replace,
        seed=config.seed,
    )


def planned(A: Matrix, config: ProductConfig, found: Resources) -> Plan:
    """What it will cost; A S and S^T B are part of the result."""
    B = right(A, config)
    asked = request(A, B, config)
    plan = plan_product(A, B, asked, Machine(found.threads, found.base_bytes))
    item = np.result_type(A.dtype, B.dtype).itemsize
    factors = min(asked.most, A.shape[1]) * (A.shape[0] + (0 if twins(A, B) else B.shape[1])) * item
    return replace(plan, output_bytes=plan.output_bytes + factors, scratch_bytes=plan.scratch_bytes - factors)


def run(A: Matrix, config: ProductConfig, place: Place) -> Delivered:
    """Two reads, the second partial; A S, S^T B and their product go straight into the result."""
    B = place.others.get("right", A.T)
    asked = request(A, B, config)
    found = sampled(A, B, asked, place.workspace, place.checkpoints)
    proof = certified(found.estimates, found.draws, asked.tolerance, found.needed)
    how = "with" if found.draws.replace else "without"
    return Delivered(product_arrays(found.draws), proof, f"{config.weights} weights, {how} replacement")


pipeline = Pipeline(
    name="sampled-product",
    summary="A B, or A times its transpose, from a sample of its terms, with the expected error.",
    config=ProductConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"value": ("row", "right_column"), "left": ("row", "drawn"), "right": ("right_column", "drawn")},
    others=others,
)
