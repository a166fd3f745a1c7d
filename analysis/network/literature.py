"""What others have published about an engine: data in `analysis/published/`, with its source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from analysis.model.machines import MACHINES_FILE
from core.record import Scalar
from core.yaml_file import load_yaml_file

FOLDER = Path(__file__).parents[1] / "published"
ROUNDED = 1.01
"""By how much the parts of a printed time may exceed it, because each is rounded."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(_Strict):
    """Mean times of a generated token, in milliseconds.

    Attributes:
        compute_ms: None, like `sync_ms`, where only the total was published.
    """

    model: str
    nodes: PositiveInt
    total_ms: PositiveFloat
    compute_ms: PositiveFloat | None = None
    sync_ms: PositiveFloat | None = None

    @model_validator(mode="after")
    def _has_both_parts_or_none(self) -> Self:
        if (self.compute_ms is None) != (self.sync_ms is None):
            raise ValueError("give compute_ms and sync_ms, or neither where only total_ms is known")
        parts = (self.compute_ms or 0.0) + (self.sync_ms or 0.0)
        if parts > ROUNDED * self.total_ms:
            raise ValueError(
                f"compute_ms and sync_ms are {parts:g} ms together, and total_ms is "
                f"{self.total_ms:g}: it must not be less"
            )
        return self


class Traffic(_Strict):
    """What the root exchanges for a generated token, in kB as printed (1024 bytes).

    Attributes:
        exchanged: type of the activations that nodes send each other.
        total_kb: sent and received together; follows from the two where they are known.
    """

    model: str
    nodes: Annotated[int, Field(ge=2)]
    exchanged: str
    sent_kb: PositiveInt | None = None
    received_kb: PositiveInt | None = None
    total_kb: PositiveInt | None = None

    @model_validator(mode="after")
    def _tells_the_total_once(self) -> Self:
        parts = (self.sent_kb, self.received_kb)
        if (self.total_kb is None) == (None in parts):
            raise ValueError("give sent_kb and received_kb, or total_kb where they are not known")
        return self


class OverLink(_Strict):
    """How fast something was over links of a rate and a delay.

    Attributes:
        delay_ms: of a round trip, in addition to the usual one; 0 where little was published.
        tokens: length of the sequence.
    """

    model: str
    nodes: PositiveInt
    mbit: PositiveInt
    delay_ms: Annotated[int, Field(ge=0)]
    tokens: PositiveInt
    steps_per_s: PositiveFloat


class Publication(_Strict):
    """A published table.

    Attributes:
        reference: key of its reference (`analysis/references/references.bib`); empty for none.
        published: the day, or the month, of publication (ISO 8601).
        weights: type of the weights; None where figures do not depend on it.
        exchanged: type of the exchanged activations; None where figures do not depend on it.
        samples: tokens behind each mean; None where it was not published.
        version: of the engine; None where figures do not depend on it or it was not published.
        axes: values of the engine's own axes that decide how nodes exchange.
        link_mbit: rate of the links; None where it was not published.
    """

    engine: str
    source: str
    reference: str = ""
    published: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    machines: str
    weights: str | None = None
    exchanged: str | None = None
    samples: PositiveInt | None = None
    version: str | None = None
    axes: dict[str, Scalar] = Field(default_factory=dict)
    link_mbit: PositiveFloat | None = None
    timings: tuple[Timing, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    links: tuple[OverLink, ...] = ()

    @model_validator(mode="after")
    def _times_each_cell_once(self) -> Self:
        cells = [(row.model, row.nodes) for row in self.timings]
        twice = next((cell for cell in cells if cells.count(cell) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice[0]}, nodes: {twice[1]} is in `timings` twice: keep one row")
        return self


def load_publications(folder: Path = FOLDER) -> tuple[Publication, ...]:
    """All tables of a folder, by file name; the catalogue of machines is not one.

    Raises:
        HerdError: a file is wrong; the message has file, line and what would be right.
    """
    return tuple(
        load_yaml_file(path, Publication, "the published table")
        for path in sorted(folder.glob("*.yml"))
        if path.name != MACHINES_FILE
    )


def published_timings(engines: Iterable[str]) -> pd.DataFrame:
    """Published times of these engines, a row for each model and number of nodes.

    `speed_up` is against the fewest nodes of the same table; `sync_share` is of the total.
    """
    wanted = set(engines)
    rows = [
        {
            "engine": table.engine,
            "machines": table.machines,
            **timing.model_dump(),
            "tokens_per_s": 1000 / timing.total_ms,
            "sync_share": _share(timing),
            "samples": table.samples,
            "source": table.source,
            "published": table.published,
        }
        for table in load_publications()
        if table.engine in wanted
        for timing in table.timings
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        of_series = frame.groupby(["source", "machines", "model"], sort=False)["total_ms"]
        frame["speed_up"] = of_series.transform("first") / frame["total_ms"]
    return frame


def _share(timing: Timing) -> float | None:
    return None if timing.sync_ms is None else timing.sync_ms / timing.total_ms


def published_over_links(
    engine: str, fastest: tuple[int, int]
) -> dict[tuple[int, int], dict[int, float]]:
    """What share of its speed an engine kept over slower links.

    Args:
        engine: whose tables.
        fastest: rate (Mbit/s) and delay (ms) of the link to which shares refer.

    Returns:
        Rate and delay to length of the sequence to share; empty where nothing is known.
    """
    found: dict[tuple[int, int], dict[int, float]] = {}
    for table in load_publications():
        if table.engine != engine:
            continue
        base = {r.tokens: r.steps_per_s for r in table.links if (r.mbit, r.delay_ms) == fastest}
        for row in table.links:
            if row.tokens in base:
                share = row.steps_per_s / base[row.tokens]
                found.setdefault((row.mbit, row.delay_ms), {})[row.tokens] = share
    return found


def timing_references(engines: Iterable[str]) -> tuple[str, ...]:
    """Keys of the references of every published table of times of these engines."""
    wanted = set(engines)
    tables = (one for one in load_publications() if one.engine in wanted and one.timings)
    return tuple(dict.fromkeys(table.reference for table in tables if table.reference))


def link_references(engines: Iterable[str]) -> tuple[str, ...]:
    """The same of every table over slower links."""
    wanted = set(engines)
    tables = (one for one in load_publications() if one.engine in wanted and one.links)
    return tuple(dict.fromkeys(table.reference for table in tables if table.reference))


def link_sources(engines: Iterable[str]) -> list[str]:
    """Machines and source of every published table of these engines over slower links."""
    wanted = set(engines)
    return [
        f"{table.machines}: {table.source}, {table.published}"
        for table in load_publications()
        if table.engine in wanted and table.links
    ]
