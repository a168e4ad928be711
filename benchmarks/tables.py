"""Tables: printed, and put into README.md in place of those of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).with_name("README.md")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first and the last to the left, numbers to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[j]) for line in lines) for j in range(len(header))]
    last = len(header) - 1

    def spelt(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if j in (0, last) else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 2) if j in (0, last) else "-" * (w + 1) + ":" for j, w in enumerate(widths))
    return "\n".join([spelt(lines[0]), f"|{rule}|", *(spelt(line) for line in lines[1:])])


def record(name: str, text: str) -> None:
    """Put `text` between the markers of this name in README.md, which are added at its end if there are none."""
    page = README.read_text()
    first, last = f"<!-- results:{name} -->", f"<!-- end:{name} -->"
    if first not in page:
        page = f"{page.rstrip()}\n\n{first}\n{last}\n"
    before, rest = page.split(first, 1)
    _, after = rest.split(last, 1)
    README.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}")


def megabytes(count: float) -> str:
    """Bytes in MB, as people read them."""
    return f"{count / 1e6:,.0f}"


def parsed_bytes(text: str) -> int:
    """8GB, 200MB, 1.5TB in powers of ten."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1)):
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * size)
    msg = f"{text!r} is no size: write it as 8GB or 200MB"
    raise SystemExit(msg)
