"""How a job differs from the one that is there already, in words: options, and what is read; never digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CHANGE = "objects_digest"  # the fact of the input that changes when its chunks are written again
FACTS = ("shape", "dtype", "chunks", "nonzeros", "encoding", "zarr_format", "transposed")  # that people know of a store


def differences(spec: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What is not the same: pipeline, or its options; each matrix that is read; empty where only the view differs."""
    return ", ".join(_differences(spec, known))


def _differences(spec: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    changed: set[str] = set()
    if spec["pipeline"] != known.get("pipeline"):
        yield f"pipeline ({known.get('pipeline')} there, {spec['pipeline']} asked)"
    else:
        there: Mapping[str, Any] = known.get("config") or {}
        changed = {name for name, value in spec["config"].items() if value != there.get(name)}
        yield from (_told(f"option {name}", there.get(name), spec["config"][name]) for name in sorted(changed))
    matrices = {"the store": (spec["input"], known.get("input"))}
    others: Mapping[str, Any] = known.get("others") or {}
    matrices |= {name: (facts, others.get(name)) for name, facts in (spec.get("others") or {}).items()}
    for name, (asked, before) in matrices.items():
        if name not in changed:  # else the option says it
            yield from _of_matrix(name, asked, before or {})


def _of_matrix(name: str, asked: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """How one matrix differs: its place, else its shape and the like, else that it was written anew."""
    if asked.get("url") != there.get("url"):
        yield _told(name, there.get("url") or "a matrix in memory", asked.get("url") or "a matrix in memory")
        return
    known = [fact for fact in FACTS if fact in asked and asked[fact] != there.get(fact)]
    yield from (_told(f"{fact.replace('_', ' ')} of {name}", there.get(fact), asked[fact]) for fact in known)
    rest = {fact for fact, value in asked.items() if value != there.get(fact)} - set(known)
    if CHANGE in rest:
        yield f"the chunks of {name}, which were written again since"
    elif "manifest" in rest:
        yield f"the fingerprint of {name}, which was taken anew since"
    elif rest and not known:
        yield f"the data of {name}, which is not what it was"


def _told(what: str, there: Any, asked: Any) -> str:
    return f"{what} ({_spelt(there)} there, {_spelt(asked)} asked)"


def _spelt(value: Any) -> str:
    if value is None:
        return "none"
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
