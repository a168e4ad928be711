"""Stored: a matrix in a Zarr store, read a range of rows and columns at a time, every chunk checked.

Plain chunks of a local folder go from the page cache straight into the caller's memory; other chunks are decoded into
it. What Zarr passes over in silence (an absent chunk reads as the fill value, two swapped files as each other) is an
`IntegrityError` here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import batched if False else islice
