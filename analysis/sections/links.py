"""Speed over slower links, with what others published of that."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping

from analysis.blocks import File, Section, Tabled, cited
from analysis.cells.tabulate import frame_table, naming
from analysis.network.links import over_links
from analysis.network.literature import link_references, link_sources
from analysis.statistics.stats import LEVEL
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import DASH, percent

SHARES = (
    "Tokens/s, and their share of the speed over the fastest link of the same engine, paired by "
    "block: geometric mean with Student's interval, or the range below six blocks."
)
TABLES = "Published tables"
TRIP = "Round trip: of a ping between two nodes before each trial."
PUBLISHED = (
    "Published: the same share for another model on other machines. It shows how losses compare, "
    "not speeds ({sources})."
)


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run over several links."""
    data = over_links(study.all_series)
    if data.empty:
        return
    published = [name for name in map(str, data) if name.startswith("published_")]
    has_trip = bool(data["round_trip_ms"].notna().any())
    columns = {
        **naming(data), "link": "Link",
        **({"round_trip_ms": "Round trip, ms"} if has_trip else {}),
        "value": "Tokens/s, median", "against": "Against the fastest link (95 %)",
        **{n: say("Published, {tokens} tokens", tokens=n.rpartition("_")[2]) for n in published},
    }  # fmt: skip
    shown = data.assign(against=[_share(row) for row in data.to_dict("records")])
    made = frame_table(shown, columns, percents=published)
    notes = [say(SHARES), *([say(TRIP)] if has_trip else [])]
    if published:
        published_by = "; ".join(link_sources(series.engine for series in study.all_series))
        notes.append(say(PUBLISHED, sources=published_by))
        data = data.assign(sources=published_by)
    table = Tabled("Slower links", made, tuple(notes), File("links", data))
    keys = link_references(series.engine for series in study.all_series) if published else ()
    sources = cited((TABLES, keys) if keys else None)
    yield Section("links", "Slower links", (table, *sources), "Slower links")


def _share(row: Mapping[Hashable, object]) -> str:
    """`80 % (78-82)`, or with the range of few blocks."""
    told = [row[f"against_{name}"] for name in ("fastest", "low", "high", "coverage")]
    value, low, high, coverage = (one if isinstance(one, float) else math.nan for one in told)
    if math.isnan(low):
        return percent(value)
    ends = f"{100 * low:.0f}{DASH}{100 * high:.0f}"
    if coverage >= LEVEL:
        return f"{percent(value)} ({ends})"
    return say(
        "{value} (range {ends}, {coverage})",
        value=percent(value),
        ends=ends,
        coverage=percent(coverage),
    )
