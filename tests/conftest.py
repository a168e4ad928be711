"""Fixtures shared by the whole suite."""

from dataclasses import replace

import pytest

import rnla.kernels.sparse
import rnla.sweeps.geometry
import rnla.sweeps.matrix
import rnla.sweeps.nonzeros
import rnla.sweeps.spans
import rnla.sweeps.sparse
from tests.backends import IN_PARTS
from tests.faults import Killer


@pytest.fixture
def small_panels(monkeypatch):
    """Small matrices are cut like large ones: several panels a span, and several levels of the join tree."""
    monkeypatch.setattr(rnla.sweeps.geometry, "PANEL_BYTES", 700)
    monkeypatch.setattr(rnla.sweeps.nonzeros, "PANEL_BYTES", 700)
    monkeypatch.setattr(rnla.sweeps.nonzeros, "ROW_BYTES", 8)
    monkeypatch.setattr(rnla.sweeps.nonzeros, "span_bytes", lambda *_: 1400)

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
    monkeypatch.setattr(rnla.sweeps.spans, "SPARSE_BLOCKS", 1)
    monkeypatch.setattr(rnla.sweeps.sparse, "DENSE_BYTES", 300)
    monkeypatch.setattr(rnla.kernels.sparse, "RUN", 16)


@pytest.fixture
def killer(tmp_path):
    """Starts programs and kills them."""
    return Killer(tmp_path)
