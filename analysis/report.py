"""The report of a run: one page, the same as Markdown, and the data behind every chart."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from analysis import charts, frames, tabulate
from analysis.agreement_text import Agreed, agreed
from analysis.cells import Series, cell_results, constants, series_of
from analysis.charts import Chart
from analysis.comparison import Comparison, comparison_of
from analysis.csv_file import write_csv
from analysis.energy import energy_frame, energy_table, unmeasured, window_in_words
from analysis.family import Family
from analysis.judges import Opinion, opinions
from analysis.latency import latency_charts
from analysis.literature import link_sources
from analysis.network import link_speeds, predictor
from analysis.numbers import cell_frame
from analysis.optional_tables import (
    agreement_tables,
    comparison_table,
    link_table,
    over_links_table,
    perplexity_table,
    published_table,
    server_table,
)
from analysis.pages import write_pages
from analysis.ratings import Rated, Ratings
from analysis.scaling import Scaling, scalings_of, speed_pairs
from analysis.scaling_text import thrown_away
from analysis.servers import chain_times, spans_by_speed
from analysis.stability_section import Section, stability_section
from analysis.summary import Figure, key_figures
from analysis.tabulate import Table, Text, kept
from analysis.verdict import Verdict, verdict_of
from analysis.wording import plural
from collect.account import STATES, Account
from collect.judging import Judged, read_judges
from collect.ratings import read_ratings
from collect.run import Benchmark, Greedy, Questions, RunManifest
from collect.tables import Tables, tables_of
from core.errors import HerdError
from core.foreign import inside


@dataclass(frozen=True, slots=True)
class Report:
    """A written report.

    Attributes:
        index: the page.
        verdict: what the run found, a sentence and its reservations.
        agreement: of a greedy run with the reference; None for another.
    """

    index: Path
    verdict: str
    agreement: Agreed | None


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart on the page: the chart, its SVG as part of the page, its table to unfold."""

    chart: Chart
    svg: str
    table: Table


@dataclass(frozen=True, slots=True)
class Study:
    """A run, its tables, and what they mean."""

    run: RunManifest
    tables: Tables
    all_series: tuple[Series, ...]
    scalings: tuple[Scaling, ...]
    family: Family
    counts: Mapping[str, int]
    verdict: Verdict
    comparison: Comparison | None
    warnings: tuple[str, ...]
    stability: Section
    agreement: Agreed | None
    rated: Rated | None
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """All that the templates print."""

    run: RunManifest
    created: str
    workload: str
    constants: str
    counts: Mapping[str, int]
    planned: int
    thrown: str
    verdict: Verdict
    figures: tuple[Figure, ...]
    charts: Mapping[str, DrawnChart]
    cells: Table
    compared: str
    comparisons: Table | None
    link: Table | None
    servers: Table | None
    spans: Mapping[str, str]
    over_links: Table | None
    published_links: str
    perplexity: Table | None
    energy: Table | None
    energy_window: str
    unmeasured: str | None
    agreement: Table | None
    differing: Table | None
    comparison: Comparison | None
    failures: Table | None
    flags: Table | None
    warnings: tuple[str, ...]
    stability: Section
    published: Table | None
    rated: Rated | None
    opinions: tuple[Opinion, ...]
    nodes_same: Table
    nodes_differ: Table
    nodes_all: Table
    engines: Mapping[str, Table]
    models: Table
    matrix: str
    plan: Text
    command: str
    rebuild: str


MANY_TRIALS = 500
"""From so many planned trials a report tells how far it is."""


def _silent(_line: str) -> None:
    """Tell nothing."""


def write_report(
    run_folder: Path, reports_folder: Path, tell: Callable[[str], None] = _silent
) -> Report:
    """Write the report of a run to `<reports_folder>/<run>/`.

    A report that is there already is replaced as a whole. Its content depends only on what lies
    in the run's folder: the same run gives the same report. The run's tables are written anew,
    too (`<run_folder>/tables/`).

    Args:
        run_folder: `results/<run>`.
        reports_folder: where reports lie.
        tell: is told how far a large report is, a line at a time.

    Raises:
        HerdError: the run's folder is damaged, or the report cannot be written.
    """
    account = Account.read(run_folder)
    tables = tables_of(account)
    tables.write(run_folder)
    run, warnings = account.manifest, account.warnings
    del account  # of many attempts it is the most that is in memory
    target = inside(reports_folder, run.run)
    try:
        reports_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=reports_folder) as name:
            folder = Path(name) / run.run
            folder.mkdir()
            agreement = agreed(run, tables, run_folder)
            verdict = compose(
                run,
                tables,
                folder,
                warnings=warnings,
                agreement=agreement,
                ratings=read_ratings(run_folder),
                judges=read_judges(run_folder),
                tell=tell if len(run.trials) >= MANY_TRIALS else _silent,
            )
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except OSError as error:
        raise HerdError(
            f"Writing the report of {run.run} to {target}: {error.strerror or error}. "
            f"Make room or give the right to write there, then `fab report --run {run.run}`."
        ) from None
    return Report(target / "index.html", verdict, agreement)


def compose(
    run: RunManifest,
    tables: Tables,
    folder: Path,
    *,
    warnings: Sequence[str] = (),
    agreement: Agreed | None = None,
    ratings: Ratings | None = None,
    judges: Sequence[Judged] = (),
    tell: Callable[[str], None] = _silent,
) -> str:
    """Write the files of a report into an empty folder.

    Args:
        run: the run's plan.
        tables: what was measured.
        folder: an empty folder.
        warnings: what is odd about the run's folder, a sentence each.
        agreement: of a greedy run with the reference.
        ratings: what raters thought of its answers; None where nobody was asked.
        judges: what systems thought of them.
        tell: is told how far the report is, a line at a time.

    Returns:
        What the run found, a sentence and its reservations.
    """
    tell(f"Report: {len(run.cells)} cells, {len(tables.attempts)} attempts")
    cells = cell_results(run, tables.trials, tables.attempts)
    all_series = series_of(cells)
    on_nodes = tuple(series for series in all_series if not series.is_remote)
    speeds = speed_pairs(on_nodes)
    comparison = comparison_of(run, tables, all_series, ratings, speeds)
    family = comparison.family if comparison else Family(speeds, run.equivalence_margin)
    write_csv(family.frame(), folder / "comparisons.csv")
    scalings = scalings_of(on_nodes, family)
    counts = {str(state): sum(cell.counts[state] for cell in cells) for state in STATES}
    is_lab = run.share_machine(run.nodes)
    has_speed = comparison is None or any(len(scaling.points) > 1 for scaling in scalings)
    verdict = verdict_of(
        all_series, scalings, counts, is_lab=is_lab, family=family, has_speed=has_speed
    )
    if agreement is not None:
        verdict = replace(verdict, headline=agreement.headline, details=agreement.sentences)
    made = charts.charts_of(on_nodes, scalings, predictor(run))
    stability = stability_section(all_series, tables, folder)
    verdict = _with_stability(verdict, stability)
    if comparison is not None:
        comparison.write(folder)
        verdict = comparison.verdict(verdict, has_speed=has_speed)
        made = (*latency_charts(comparison.systems), *made)
    if stability.chart is not None:
        made = (*made, stability.chart)
    study = Study(
        run=run,
        tables=tables,
        all_series=all_series,
        scalings=scalings,
        family=family,
        counts=counts,
        verdict=verdict,
        comparison=comparison,
        warnings=tuple(warnings),
        stability=stability,
        agreement=agreement,
        rated=comparison.rated if comparison else None,
        opinions=opinions(comparison.systems, judges) if comparison else (),
    )
    drawn = {}
    for place, chart in enumerate(made, start=1):
        tell(f"Report: writing chart {place} of {len(made)}, {chart.title}")
        drawn[chart.name] = DrawnChart(chart, charts.write(chart, folder), chart_table(chart))
    content = _content(study, drawn, folder)
    write_pages(folder, content)
    return verdict.spoken


def _with_stability(verdict: Verdict, found: Section) -> Verdict:
    """The verdict with what is odd over time among its caveats."""
    if not found.sentences:
        return verdict
    return replace(
        verdict,
        caveats=(*verdict.caveats, *found.sentences),
        reservations=(*verdict.reservations, found.reservation),
    )


def _content(study: Study, drawn: Mapping[str, DrawnChart], folder: Path) -> Content:
    run, tables, all_series = study.run, study.tables, study.all_series
    same, differ = tabulate.node_tables(run)
    write_csv(cell_frame(all_series, study.scalings), folder / "cells.csv")
    flags = tabulate.flag_table(all_series)
    # The link of a virtual node is memory; what its interface reports is not a speed.
    speeds = {} if run.share_machine(run.nodes) else link_speeds(all_series, tables.nodes)
    agreement, differing = agreement_tables(study.agreement, folder)
    times = chain_times(all_series, tables)
    failures = tabulate.failure_table(all_series, tables.trials, tables.attempts)
    return Content(
        run=run,
        created=datetime.fromtimestamp(run.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        workload=workload_in_words(run),
        constants=constants(all_series),
        counts=study.counts,
        planned=sum(study.counts.values()),
        thrown=thrown_away([cell for series in all_series for cell in series.cells]),
        verdict=study.verdict,
        figures=(study.comparison and study.comparison.figures)
        or key_figures(all_series, study.scalings, study.family),
        charts=drawn,
        cells=tabulate.cell_table(all_series, study.scalings),
        compared=study.family.in_words(),
        comparisons=comparison_table(study.family),
        link=link_table(all_series, speeds, folder),
        servers=server_table(times, folder),
        spans=spans_by_speed(times),
        over_links=over_links_table(all_series, folder),
        published_links="; ".join(link_sources(run.engines)),
        perplexity=perplexity_table(all_series, folder),
        energy=energy_table(energy_frame(all_series), folder),
        energy_window=window_in_words(run),
        unmeasured=unmeasured(run, all_series),
        agreement=agreement,
        differing=differing,
        comparison=study.comparison,
        failures=failures and kept(failures, folder / "failures.csv"),
        flags=flags and kept(flags, folder / "flags.csv"),
        warnings=study.warnings,
        stability=study.stability,
        published=published_table(run, folder),
        rated=study.rated,
        opinions=study.opinions,
        nodes_same=same,
        nodes_differ=differ,
        nodes_all=kept(tabulate.provenance_table(run), folder / "nodes.csv"),
        engines={name: tabulate.fact_table(facts) for name, facts in run.engines.items()},
        models=tabulate.model_table(run),
        matrix=matrix_name(run.matrix_file),
        plan=tabulate.shortened(run.plan_id),
        command=shlex.join(run.command),
        rebuild=f"fab report --run {shlex.quote(run.run)}",
    )


def matrix_name(path: str) -> str:
    """The path of a matrix below the project, or its file name when it lies elsewhere."""
    parts = Path(path).parts
    return str(Path(*parts[parts.index("experiments") :])) if "experiments" in parts else parts[-1]


def workload_in_words(run: RunManifest) -> str:
    """What the engines were asked to do."""
    workload = run.workload
    if isinstance(workload, Benchmark):
        return (
            f"read a prompt of {workload.prompt_tokens} tokens, "
            f"generate {workload.generate_tokens} tokens"
        )
    if isinstance(workload, Questions):
        return (
            f"answer {plural(len(workload.asked), 'question')} of {workload.file}, one after the "
            f"other, each in at most {workload.max_tokens} tokens at temperature "
            f"{workload.temperature:g} (seed {workload.seed})"
        )
    if isinstance(workload, Greedy):
        return (
            f"one of {len(workload.prompts)} prompts continued with the likeliest token each time, "
            f"up to {workload.positions} tokens with those of the prompt; in the last trial of a "
            "cell a text is scored"
        )
    return f"perplexity of the first {workload.characters} characters of {workload.text}"


def chart_table(chart: Chart) -> Table:
    """The table behind a chart, medians only where it holds trials too."""
    data = chart.data
    if "kind" in data:
        data = data[~data["kind"].isin([frames.TRIAL, frames.ANSWER])]
        data = data.drop(columns=["kind", "block", "reason"], errors="ignore")
    data = data.dropna(axis="columns", how="all")
    if "model" in data and len(data["model"].unique()) == 1:
        data = data.drop(columns="model")
    names = {str(column): str(column).replace("_", " ") for column in data.columns}
    return tabulate.frame_table(data, names, percents=["sync_share_low", "sync_share_high"])
