"""Findings of `limits.csv`, as a program that reads the file has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.limits.assessment import Assessment, Kind, Source


def from_row(row: Mapping[str, Any]) -> Assessment:
    """Make a finding of a row of `limits.csv`. Raises ValueError for a kind that does not exist."""

    def text(name: str) -> str:
        return "" if pd.isna(row[name]) else str(row[name])

    return Assessment(
        engine=text("engine"),
        model=text("model"),
        kind=Kind(text("kind")),
        what=text("what"),
        subject=text("subject"),
        other=text("other"),
        value=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        n=int(row["n"]),
        source=Source(text("source")),
        where=text("where"),
    )
