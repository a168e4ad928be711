"""Fixtures shared by the whole suite."""

from dataclasses import replace

import pytest

import rnla.sweeps.geometry
import rnla.sweeps.matrix
import rnla.sweeps.spans
from tests.backends import IN_PARTS
from tests.faults import Killer


@pytest.fixture
def small_panels(monkeypatch):
    """Small matrices are cut like large ones: several panels a span, and several levels of the join tree."""
    monkeypatch.setattr(rnla.sweeps.geometry, "PANEL_BYTES", 700)

    def cut(shape, itemsize, chunks, *, strip_bytes, whole_spans=False):
        found = rnla.sweeps.geometry.geometry(shape, itemsize, chunks, strip_bytes=strip_bytes, whole_spans=whole_spans)
        if strip_bytes == IN_PARTS:
            found = replace(found, panel_rows=chunks[0], part_columns=chunks[1])
        return found if whole_spans else replace(found, span_panels=2)

    monkeypatch.setattr(rnla.sweeps.matrix, "geometry", cut)


@pytest.fixture
def small_cuts(small_panels, monkeypatch):
    """The same, and several blocks a panel; in this process only."""
    monkeypatch.setattr(rnla.sweeps.spans, "BLOCK_BYTES", 300)


@pytest.fixture
def killer(tmp_path):
    """Starts programs and kills them."""
    return Killer(tmp_path)
