"""The demo: the main job on sea-surface temperatures, and on a generated matrix larger than the memory allowed."""

from rnla.demo.tour import run

__all__ = ["run"]
