"""Squared norms kept beside a stored matrix, bound to what the store held: a later job need not read it for them.

What the store held is known by the hash of its metadata, by its manifest where it has one, and by name, size and time
of every chunk where the place tells them: a manifest alone would say nothing of a chunk that was changed since.

`rnla-norms.npz`, among the array's own objects, says what the norms are of; the norms lie in pieces of 8 MB,
`rnla-norms.rows.0`, ..., written before it, so that neither side need fit in memory. A store that was changed since, a
damaged piece or an unknown format make them absent, never an error: they are computed again.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np

from rnla.arrays import Array
from rnla.errors import OutputError, RnlaError
from rnla.store.objects import NORMS_PREFIX, Objects, Piece, first_object
from rnla.store.writing import writing_errors
from rnla.sweeps.source import Tall

Side = Literal["rows", "columns"]
HEAD_KEY = f"{NORMS_PREFIX}.npz"
FORMAT = 1
PIECE = 1 << 20  # norms in an object


class _AbsentError(Exception):
    """What was kept cannot be used."""


@dataclass(frozen=True)
class NormsFile:
    """Where the norms of a matrix, or of its transpose, are kept."""

    objects: Objects
    shape: tuple[int, int]  # as stored
    metadata_digest: str
    manifest_digest: str | None
    state: Callable[[], str | None]  # hash of name, size and time of every chunk as it is now; None: not known here
    allow_missing: bool  # whether absent chunks are read as the fill value
    turned: bool  # the matrix is the transpose of what is stored

    def binding(self) -> str | None:
        """What the store holds at this moment, its chunks listed anew; None where nothing tells."""
        known = self.manifest_digest, self.state()
        return None if known == (None, None) else json.dumps([self.metadata_digest, *known])

    def load(self, along: Tall) -> tuple[Array, float] | None:
        """Squared norms of the columns (n,) and ||A||_F; those of the rows go to `along`. None: there are none."""
        try:
            head = self._head()
            columns = np.concatenate(list(self._pieces(head, self._side("columns"))))
            start = 0
            for piece in self._pieces(head, self._side("rows")):
                along.write(slice(start, start + piece.size), piece[:, None])
                start += piece.size
        except _AbsentError:
            return None
        return columns, float(head["frobenius"])

    def save(self, binding: str, columns: Array, along: Tall, frobenius: float) -> None:
        """Keep the norms of the columns (n,), of the rows (m, 1), and ||A||_F of what the store held by `binding`.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        m = along.shape[0]
        rows = (along.source.read(slice(a, min(a + PIECE, m)), slice(0, 1)).ravel() for a in range(0, m, PIECE))
        try:
            with writing_errors(self.objects.url):
                across = np.split(columns, range(PIECE, len(columns), PIECE))
                facts: dict[str, Any] = {
                    "format": FORMAT,
                    "binding": binding,
                    "allow_missing": self.allow_missing,
                    "frobenius": frobenius,
                    self._side("columns"): np.array(self._written("columns", across), np.uint32),
                    self._side("rows"): np.array(self._written("rows", rows), np.uint32),
                }
                file = io.BytesIO()
                np.savez(file, **facts)
                self.objects.put(HEAD_KEY, file.getvalue())
        except RnlaError:
            raise
        except Exception as error:  # every kind of store refuses in its own way
            msg = f"{self.objects.url}: norms cannot be kept there ({error}); make it writable, or leave keep out"
            raise OutputError(msg) from error

    def _written(self, side: Side, pieces: Any) -> list[int]:
        sums = []
        for number, piece in enumerate(pieces):
            data = np.ascontiguousarray(piece, "<f8").tobytes()
            self.objects.put(self._key(self._side(side), number), data)
            sums.append(int(google_crc32c.value(data)))
        return sums

    def _head(self) -> dict[str, Any]:
        raw = first_object(self.objects, HEAD_KEY)
        if raw is None:
            raise _AbsentError
        try:
            with np.load(io.BytesIO(raw.tobytes()), allow_pickle=False) as file:
                head = {name: file[name] for name in file.files}
            good = int(head["format"]) == FORMAT and str(head["binding"]) == self.binding()
            if not good or (bool(head["allow_missing"]) and not self.allow_missing):
                raise _AbsentError
            wanted = {side: -(-size // PIECE) for side, size in zip(("rows", "columns"), self.shape, strict=True)}
            if any(head[side].shape != (count,) for side, count in wanted.items()):
                raise _AbsentError
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise _AbsentError from error
        return head

    def _pieces(self, head: dict[str, Any], side: Side) -> Iterator[Array]:
        size = self.shape[0 if side == "rows" else 1]
        for number, crc in enumerate(head[side].tolist()):
            raw = self._fetched(self._key(side, number))
            wanted = min(PIECE, size - number * PIECE) * 8
            if raw is None or raw.nbytes != wanted or int(google_crc32c.value(raw)) != crc:
                raise _AbsentError
            yield np.frombuffer(raw, "<f8").astype(np.float64)

    def _fetched(self, key: str) -> Array | None:
        try:
            return self.objects.fetch([Piece(key)])[0]
        except OSError as error:
            raise _AbsentError from error

    def _side(self, side: Side) -> Side:
        """Side of the stored array for a side of the matrix."""
        if not self.turned:
            return side
        return "columns" if side == "rows" else "rows"

    def _key(self, side: Side, number: int) -> str:
        return f"{NORMS_PREFIX}.{side}.{number}"
