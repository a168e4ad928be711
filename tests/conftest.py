"""Fixtures shared by the whole suite."""

from dataclasses import replace

import pytest

import rnla.sweeps.geometry
import rnla.sweeps.matrix
import rnla.sweeps.spans
from tests.faults import Killer


@pytest.fixture
def small_cuts(monkeypatch):
    """Small matrices are cut like large ones: several blocks a panel, panels a span, and spans a level of the join tree."""
    monkeypatch.setattr(rnla.sweeps.geometry, "PANEL_BYTES", 1 << 10)
    monkeypatch.setattr(rnla.sweeps.spans, "BLOCK_BYTES", 1 << 9)

    def cut(*args, whole_spans=False, **options):
        found = rnla.sweeps.geometry.geometry(*args, whole_spans=whole_spans, **options)
        return found if whole_spans else replace(found, span_panels=2)

    monkeypatch.setattr(rnla.sweeps.matrix, "geometry", cut)


@pytest.fixture
def killer(tmp_path):
    """Starts programs and kills them."""
    return Killer(tmp_path)
