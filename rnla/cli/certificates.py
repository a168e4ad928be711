"""The words in which certificates are told: of factors, of lines of a matrix, of products, pairs and norms.

Those of networks are in `rnla.cli.networks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnla.cli.networks import prediction_shortly, told_prediction, told_study, told_training, training_shortly
from rnla.tables import counted

Rows = list[tuple[str, str]]


def told_certificate(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> Rows:
    """How wrong the result can be, or how good; of networks its small arrays say part of it."""
    proof = record.get("certificate") or {}
    for sign, told in _KINDS.items():
        if sign in proof:
            return told(proof, record)
    for sign, told_network in _NETWORKS.items():
        if sign in proof:
            return told_network(record, arrays)
    return [(name, str(value)) for name, value in proof.items()]  # of a pipeline that somebody plugged in


def told_shortly(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """The same in a few words that continue a line."""
    proof = record.get("certificate") or {}
    if (error := proof.get("relative_error")) is not None:
        return f", relative error {error:.3g}"
    if (error := proof.get("expected_relative_error")) is not None:
        return f", expected relative error {error:.3g}"
    if "stopped_at" in proof:
        return training_shortly(record, arrays)
    if "network" in proof:
        return prediction_shortly(proof)
    return f", {counted(proof['pairs'], 'pair')}" if "missed" in proof else ""


def _told_factors(proof: Mapping[str, Any], record: Mapping[str, Any]) -> Rows:
    return [
        ("error", _error(proof)),
        ("spectral", f"at most {_number(proof['spectral_bound'])} with probability {_odds(proof['confidence'])}"),
        ("explained", _share(proof["explained_variance"], proof["frobenius_norm"], _whole(record))),
        *_tolerance(proof, "give more passes, or a larger k"),
    ]


def _told_lines(proof: Mapping[str, Any], record: Mapping[str, Any]) -> Rows:
    norm = proof["frobenius_norm"] or 1.0
    best = "not known: this selector computes no singular vectors"
    if proof["best_upper"] is not None and proof["best_lower"] is not None:
        low, high = (_number(proof[end] / norm) for end in ("best_lower", "best_upper"))
        best = f"{high if low == high else f'{low} to {high}'} of ||A||_F by any matrix of rank {proof['rank']}"
    alone = f"{_number(proof['column_error'] / norm)} of ||A||_F, by C C^+ A"
    rows = [("error", _error(proof)), *([("columns alone", alone)] if _crossed(record) else []), ("best", best)]
    if proof["ratio"] is not None:
        odds = _odds(proof["confidence"])
        rows.append(("ratio", f"at most {proof['ratio']:.4g} times the best, with probability {odds}"))
    explained = _share(proof["explained_variance"], proof["frobenius_norm"], _whole(record))
    return [*rows, ("explained", explained), *_tolerance(proof, "give more passes, or a larger k")]


def _crossed(record: Mapping[str, Any]) -> bool:
    """Whether rows take part: in a CUR, not in an interpolative decomposition."""
    return record.get("pipeline") != "id"


def _told_product(proof: Mapping[str, Any], _record: Mapping[str, Any]) -> Rows:
    norm, measured, bound = proof["norm_estimate"], proof["measured_error"], proof["expected_error_bound"]
    of_norm = (
        f"of ||A B||_F = {_number(norm)}, estimated"
        if norm is not None
        else ("(neither is ||A B||_F: norms that were kept come without probes, and so few draws do not tell)")
    )
    rows = [
        ("expected", f"relative error {_number(proof['expected_relative_error'])} {of_norm}"),
        ("bound", "none" if bound is None else f"{_number(bound)} is expected at most, whatever ||A B||_F"),
        (
            "measured",
            "not measured: no probes of the product went with the reads"
            if measured is None
            else f"{_number(measured / norm if norm else 0.0)} of ||A B||_F by probes, for this draw",
        ),
        ("draws", f"{proof['draws']:,} of {counted(proof['terms'], 'term')}, {proof['different']:,} different"),
    ]
    needed = "" if proof["needed"] is None else f" ({counted(proof['needed'], 'draw')})"
    cure = f"give as many draws as it needs{needed}"
    if (proof["needed"] or 0) >= proof["terms"]:
        cure = f"take every term once, which is exact: --no-replace --draws {proof['terms']}"
    return [*rows, *_tolerance(proof, cure)]


def _told_pairs(proof: Mapping[str, Any], _record: Mapping[str, Any]) -> Rows:
    chance = "none: all products of columns were formed"
    if proof["missed"]:
        chance = f"a given pair at the threshold with probability {proof['missed']:.1g} at most, others less"
    cosines = f"with a cosine of {proof['threshold']:g} or more, right to rounding"
    return [("pairs", f"{counted(proof['pairs'], 'pair')} of columns {cosines}"), ("missed", chance)]


def _told_norms(proof: Mapping[str, Any], _record: Mapping[str, Any]) -> Rows:
    how = "exact sums of integers, each rounded once" if proof["exact"] else "sums in float64, right to rounding"
    return [("norm", f"||A||_F = {_number(proof['frobenius_norm'])}"), ("squared norms", how)]


_KINDS = {  # what only this kind has
    "spectral_bound": _told_factors,
    "column_error": _told_lines,
    "expected_error_bound": _told_product,
    "missed": _told_pairs,
    "exact": _told_norms,
}
_NETWORKS = {
    "stopped_at": told_training,
    "network": told_prediction,
    "rates": told_study,
}


def _error(proof: Mapping[str, Any]) -> str:
    norm, relative = proof["frobenius_norm"], proof["relative_error"]
    floor = proof["rounding_floor"] / norm if norm else 0.0
    below = ", at the rounding floor" if relative is not None and relative <= floor else ""
    return f"{_number(relative)} of ||A||_F = {_number(norm)}{below} (floor {floor:.1e})"


def _tolerance(proof: Mapping[str, Any], cure: str) -> Rows:
    if proof.get("tolerance") is None:
        return []
    met = "met" if proof.get("met") else f"NOT met: {cure}"
    return [("tolerance", f"{_number(proof['tolerance'])}, {met}")]


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.6g}"


def _odds(confidence: float) -> str:
    return f"1 - {1 - confidence:.0e}" if confidence > 0.999 else f"{confidence:.4g}"


def _whole(record: Mapping[str, Any]) -> str:
    """What the shares of modes are shares of."""
    return "variance" if record.get("pipeline") == "pca" else "sum of squares"


def _share(explained: float, norm: float, whole: str) -> str:
    if norm == 0:
        return f"nothing, the {whole} is 0"
    if explained == 1:
        return f"all of the {whole}, to rounding"
    return f"all but {1 - explained:.2g} of the {whole}" if explained > 0.9995 else f"{explained:.2%} of the {whole}"
