"""What public functions do before they read: a runner and a meter for the matrix, and a plan that fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rnla.algorithms.forecasts import Machine
from rnla.algorithms.planning import Plan
from rnla.cluster.resources import Resources, refuse_if_too_large
from rnla.opening import open_matrix
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.meters import Meter
from rnla.sweeps.runners import current

CURE = "Use workers with more memory or fewer threads, fewer draws or rows, or rechunk the store: rnla rechunk"


def ready(A: Any) -> Matrix:
    """The matrix with one runner for all sweeps, and a meter of its own."""
    matrix = open_matrix(A)
    return replace(matrix, runner=current(matrix.runner), meter=Meter())


def machine(found: Resources) -> Machine:
    """What plans know of the machine."""
    return Machine(found.threads, found.base_bytes)


def refuse(plan: Plan, found: Resources) -> None:
    """DoesNotFitError if the plan needs more memory than there is."""
    refuse_if_too_large(plan.peak_bytes, found, CURE)
