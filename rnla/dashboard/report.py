"""A result as one self-contained HTML page: opens offline, in light and dark, and prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rnla.dashboard.account import Account
from rnla.dashboard.descent import account as descent_account
from rnla.dashboard.line_words import account as bases_account
from rnla.dashboard.mode_words import account as modes_account
from rnla.dashboard.norms import account as norms_account
from rnla.dashboard.page import Section, document
from rnla.dashboard.pairs import account as pairs_account
from rnla.dashboard.plain import account as plain_account
from rnla.dashboard.prediction import account as prediction_account
from rnla.dashboard.products import account as product_account
from rnla.dashboard.provenance import costs, made
from rnla.dashboard.reading import Shown, shown
from rnla.dashboard.training import account as training_account
from rnla.dashboard.words import top
from rnla.errors import OutputError

ACCOUNTS: dict[str, Callable[[Shown], Account]] = {  # by pipeline; a plug-in's gets the plain one
    "svd": modes_account,
    "pca": modes_account,
    "cur": bases_account,
    "id": bases_account,
    "sampled-product": product_account,
    "similarity": pairs_account,
    "column-norms": norms_account,
    "train": training_account,
    "predict": prediction_account,
    "descent-study": descent_account,
}


def write_report(result_path: Path | str, html_path: Path | str, *, extras: Sequence[Section] = ()) -> Path:
    """Write the report of a result and name the file.

    Parameters
    ----------
    result_path
        The Zarr group that `rnla run` wrote.
    html_path
        The file to write; replaced when it exists.
    extras
        Sections put before the general ones, such as maps of the modes.

    Raises
    ------
    StoreError
        There is no result at `result_path`.
    IntegrityError
        It is damaged.
    OutputError
        The file cannot be written.
    """
    result = shown(result_path)
    told = ACCOUNTS.get(str(result.record.get("pipeline")), plain_account)(result)
    page = document(told.title, top(result, told), [*extras, *told.sections, *closing(result, told)])
    place = Path(html_path).resolve()
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as error:
        msg = f"the report cannot be written to {place}: {error.strerror or error}; give another place"
        raise OutputError(msg) from error
    return place


def closing(result: Shown, told: Account) -> list[Section]:
    """The parts that every report ends with."""
    meaning = [Section(told.meaning_heading, told.meaning_html)] if told.meaning_html else []
    return [Section("Promised and measured", costs(result)), Section("How it was made", made(result)), *meaning]
