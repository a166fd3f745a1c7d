"""The one writer of the report's CSV files: numbers as numbers, text from outside as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from core.foreign import cell_text


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as a file of CSV in UTF-8."""
    path.write_bytes(csv_bytes(frame))


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV in UTF-8: what is missing is empty, numbers have a point and no blanks.

    Text, names of columns included, is written as `core.foreign.cell_text` makes it, so that no
    spreadsheet program takes it for a formula.
    """
    safe = frame.apply(_as_cells)
    safe.columns = pd.Index([cell_text(str(name)) for name in frame.columns])
    return str(safe.to_csv(index=False, lineterminator="\n")).encode()


def _as_cells(column: pd.Series) -> pd.Series:
    is_number = pd.api.types.is_numeric_dtype(column.dtype)
    return column if is_number else column.astype(object).map(_cell)


def _cell(value: object) -> object:
    return cell_text(value) if isinstance(value, str) else value
