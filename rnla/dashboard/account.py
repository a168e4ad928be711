"""What a report says of a result of one kind; the page around it is the same for all kinds."""

from __future__ import annotations

from dataclasses import dataclass

from rnla.dashboard.page import Section, Tile


@dataclass(frozen=True)
class Account:
    """Words, numbers and sections of one result. Text that ends in `_html` is HTML already."""

    title: str  # "CUR decomposition of ocean.zarr"
    what_html: str  # what was computed: a sentence
    wrong_html: str  # how wrong it is: sentences; empty where there is no certificate
    numbers: tuple[Tile, ...]  # large ones, before passes and memory
    sections: tuple[Section, ...]
    meaning_html: str = ""  # what the certificate means
    meaning_heading: str = "What the certificate means"
    wrong_heading: str = "How wrong it is"
    certified: bool = True  # whether a certificate bounds an error; else numbers were seen, and bound nothing
    cure: str = "allow more passes, or a larger k"  # where a tolerance was not reached
