"""What to change about a job that does not fit: the options that its pipeline has and that make it smaller."""

from __future__ import annotations

import dataclasses

from rnla.jobs.pipelines import Pipeline

MEMORY = ("k", "oversample", "passes", "columns", "rows", "draws")  # of factors, lines and samples
DISK = ("k", "columns", "rows", "draws")


def memory_cure(chosen: Pipeline) -> str:
    """What a job of this pipeline can do about its memory."""
    smaller = _smaller(chosen, MEMORY if chosen.of_memory is None else chosen.of_memory)
    return (
        f"Use workers with more memory or fewer threads, {smaller and f'{smaller}, '}or rechunk the store to row "
        "panels: rnla rechunk"
    )


def disk_cure(chosen: Pipeline) -> str:
    """What it can do about the disk."""
    smaller = _smaller(chosen, DISK if chosen.of_disk is None else chosen.of_disk)
    return f"choose a larger disk{smaller and f' or {smaller}'}"


def _smaller(chosen: Pipeline, options: tuple[str, ...]) -> str:
    """'smaller k, oversample or passes', of the options that the pipeline has; empty when it has none of them."""
    fields = {field.name for field in dataclasses.fields(chosen.config)}
    *others, last = [option for option in options if option in fields] or [""]
    return f"smaller {', '.join(others)} or {last}" if others else last and f"smaller {last}"
