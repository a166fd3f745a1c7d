"""The tables of a report that are there for some runs only, each with its data as a CSV file."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis import agreement_text, frames, tabulate
from analysis.accuracy import p_in_words
from analysis.agreement_text import Agreed
from analysis.cells import Series
from analysis.csv_file import write_csv
from analysis.family import Family
from analysis.links import over_links
from analysis.literature import published_timings
from analysis.stats import LEVEL, Ratio
from analysis.tabulate import Table
from analysis.wording import DASH, NOTHING, percent, ratio
from collect.run import Benchmark, RunManifest


def comparison_table(family: Family) -> Table | None:
    """Every comparison for readers; None where nothing was compared."""
    rows = [
        [
            row.pair.what,
            row.pair.numerator.name,
            row.pair.denominator.name,
            str(row.pair.n),
            NOTHING if row.ratio is None else _ratio_in_words(row.ratio),
            NOTHING if row.p_adjusted is None else p_in_words(row.p_adjusted),
            str(row.finding),
        ]
        for row in family.rows
    ]
    columns = ("What", "Numerator", "Denominator", "n", "Ratio (95 %)", "p (Holm)", "Verdict")
    return tabulate.table(columns, rows, columns[3:6]) if rows else None


def _ratio_in_words(found: Ratio) -> str:
    return f"{found.value:.2f}" if found.low is None else ratio(found, brief=True)


def link_table(
    all_series: Sequence[Series], speeds: Mapping[str, float], folder: Path
) -> Table | None:
    """How much of their links the nodes used, where the engine tells what it sent.

    Args:
        all_series: what was measured.
        speeds: Mbit/s of the slowest link among the nodes of a cell, by its id, where it is known.
        folder: where `link-use.csv` goes.
    """
    data = frames.link_use(all_series, speeds)
    if data.empty:
        return None
    uses = list(data["use"])
    data = data.drop(columns="use")
    write_csv(data, folder / "link-use.csv")
    shown = data.assign(
        sync=[use.words_mbit() for use in uses],
        mean_share=[use.words_mean_use() for use in uses],
        sync_share=[use.words_use() for use in uses],
    )
    columns = {
        **_naming(data), "busier_kib_per_token": "KiB/token, busier way",
        "mean_mbit_per_s": "Mbit/s, mean", "sync": "Mbit/s, while syncing",
    }  # fmt: skip
    if data["link_mbit"].notna().any():
        columns |= {
            "link_mbit": "Link, Mbit/s", "mean_share": "Link used, mean",
            "sync_share": "Link used, while syncing",
        }  # fmt: skip
    return tabulate.frame_table(shown, columns)


def server_table(data: pd.DataFrame, folder: Path) -> Table | None:
    """The parts of a token's time (`chain_times`); its data as `servers.csv`."""
    if data.empty:
        return None
    write_csv(data, folder / "servers.csv")
    columns = {
        **_naming(data), "part": "Part", "layers": "Layers", "ms": "ms/token", "share": "Share",
    }  # fmt: skip
    return tabulate.frame_table(data, columns, percents=["share"])


def over_links_table(all_series: Sequence[Series], folder: Path) -> Table | None:
    """Speeds over slower links, beside published shares; its data as `links.csv`."""
    data = over_links(all_series)
    if data.empty:
        return None
    write_csv(data, folder / "links.csv")
    published = [name for name in map(str, data) if name.startswith("published_")]
    columns = {
        **_naming(data), "link": "Link", "round_trip_ms": "Round trip, ms",
        "value": "Tokens/s, median", "against": "Against the fastest link (95 %)",
        **{n: f"Published, {n.rpartition('_')[2]} tokens" for n in published},
    }  # fmt: skip
    shown = data.assign(against=[_share(row) for row in data.to_dict("records")])
    return tabulate.frame_table(shown, columns, percents=published)


def _share(row: Mapping[Hashable, object]) -> str:
    """`80 % (78-82)`, or with the range of few blocks."""
    told = [row[f"against_{name}"] for name in ("fastest", "low", "high", "coverage")]
    value, low, high, coverage = (one if isinstance(one, float) else math.nan for one in told)
    if math.isnan(low):
        return percent(value)
    ends = f"{100 * low:.0f}{DASH}{100 * high:.0f}"
    if coverage >= LEVEL:
        return f"{percent(value)} ({ends})"
    return f"{percent(value)} (range {ends}, {percent(coverage)})"


def perplexity_table(all_series: Sequence[Series], folder: Path) -> Table | None:
    """Perplexities of a text; its data as `perplexity.csv`."""
    data = frames.perplexities(all_series)
    if data.empty:
        return None
    write_csv(data, folder / "perplexity.csv")
    columns = {
        **_naming(data), "perplexity": "Perplexity, median", "change": "Against the fewest nodes",
        "lowest": "Lowest", "highest": "Highest", "trials": "Trials",
    }  # fmt: skip
    return tabulate.frame_table(data, columns, percents=["change"])


def agreement_tables(agreement: Agreed | None, folder: Path) -> tuple[Table | None, Table | None]:
    """Agreement with the reference by cell, and the texts that differ.

    Their data as `agreement.csv` and `differing-texts.csv`.
    """
    if agreement is None:
        return None, None
    write_csv(agreement.cells, folder / "agreement.csv")
    write_csv(agreement.differing, folder / "differing-texts.csv")
    return (
        agreement_text.agreement_table(agreement.cells),
        None if agreement.differing.empty else agreement_text.difference_table(agreement.differing),
    )


def published_table(run: RunManifest, folder: Path) -> Table | None:
    """What others published for an engine of the run; its data as `published.csv`."""
    data = published_timings(run.engines)
    if data.empty or not isinstance(run.workload, Benchmark):
        return None
    write_csv(data, folder / "published.csv")
    columns = {
        "machines": "Machines", "model": "Model", "nodes": "Nodes", "total_ms": "ms/token",
        "tokens_per_s": "Tokens/s", "speed_up": "Speed-up", "sync_share": "Sync",
        "published": "Published",
    }  # fmt: skip
    return tabulate.frame_table(data, columns, percents=["sync_share"])


def _naming(data: pd.DataFrame) -> dict[str, str]:
    """The columns that name a row; the model only where there are several."""
    model = {"model": "Model"} if len(data["model"].unique()) > 1 else {}
    return {**model, "series": "Series", "nodes": "Nodes"}
