"""Names, values and counts as text, or as a small HTML table, for prompts and notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from html import escape

Rows = Iterable[tuple[str, str]]


def counted(count: int, noun: str) -> str:
    """1 mode, 2,000 modes."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def text_table(rows: Rows, width: int) -> str:
    """One line for each pair, the values in column `width` + 1."""
    return "\n".join(f"{name:<{width}} {value}" for name, value in rows)


def html_table(title: str, rows: Rows) -> str:
    """The pairs under a caption; what they say is escaped."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


class Certified(ABC):
    """A certificate as it is printed."""

    @property
    @abstractmethod
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""

    def __str__(self) -> str:
        return text_table(self.summary, 26)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table("Certificate", self.summary)
