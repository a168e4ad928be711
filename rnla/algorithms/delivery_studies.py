"""From a study of descent to the arrays of a stored result, and what is certain of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rnla.algorithms.delivery import Named
from rnla.algorithms.descent import Path
from rnla.algorithms.regime import SAMPLINGS
from rnla.algorithms.studies import Comparison, Study, StudyCertificate


def study_arrays(found: Study) -> Named:
    """Curves of the methods, and of the samplings by seed."""
    arrays: Named = {}
    for path in found.paths:
        name = path.method.replace(" ", "_")
        arrays[f"steps_{name}"] = (path.steps, (f"look_{name}",))
        arrays[f"errors_{name}"] = (path.errors, (f"look_{name}",))
        arrays[f"residuals_{name}"] = (path.residuals, (f"look_{name}",))
        arrays[f"x_{name}"] = (path.x, ("input",))
        if path.true_errors is not None:
            arrays[f"true_errors_{name}"] = (path.true_errors, (f"look_{name}",))
    for sampling, excess in found.excess.items():
        arrays[f"excess_{sampling.replace('-', '_')}"] = (excess, ("seed", "epochs_done"))
    return arrays


def study_of(arrays: Mapping[str, Any], proof: StudyCertificate, batch: int) -> Study:
    """A study that was stored."""
    paths = []
    for method, rate in proof.rates.items():
        name, seen = method.replace(" ", "_"), rate["measured"]
        paths.append(
            Path(
                method,
                arrays[f"steps_{name}"],
                arrays[f"errors_{name}"],
                arrays[f"residuals_{name}"],
                arrays.get(f"true_errors_{name}"),
                math.nan if seen is None else seen,
                rate["theory"],
                rate["stopped"],
                arrays[f"x_{name}"],
            )
        )
    excess: dict[str, Any] = {
        sampling: arrays[key] for sampling in SAMPLINGS if (key := f"excess_{sampling.replace('-', '_')}") in arrays
    }
    compared = tuple(Comparison(sampling, **seen) for sampling, seen in proof.comparisons.items())
    return Study(proof.condition, tuple(paths), excess, compared, proof.learning_rate, batch, proof.schedule)
