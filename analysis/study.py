"""A run as the sections of its report see it: its tables, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.agreement.report import Agreed
from analysis.answers.arms import noise_with_answers
from analysis.answers.comparison import Comparison, comparison_of
from analysis.answers.llm_judges import Opinion, opinions
from analysis.answers.ratings import Ratings
from analysis.cells.additions import Setup, additions_of
from analysis.cells.arms import Noise
from analysis.cells.cells import CellResult, cell_results
from analysis.cells.divisions import division_pairs
from analysis.cells.documents import change_by_nodes, document_headline, scored_cells
from analysis.cells.family import Family, Pair
from analysis.cells.machines import machines_known
from analysis.cells.planned import has_grown
from analysis.cells.scaling import Scaling, scalings_of, speed_pairs
from analysis.cells.series import Series, series_of
from analysis.charts.selection import Selection, selection_of
from analysis.model.ways import together_pairs
from analysis.network.run_fits import GroupFit, fits_of
from analysis.network.servers import chain_times
from analysis.stability.course import Course, course_of
from analysis.stability.machines import machine_sentences, node_frame
from analysis.stability.stability import Stability, stability_of
from analysis.text.wording import within
from analysis.tuning.arms import control_pairs
from analysis.tuning.changes import BeforeAfter, PartFigures, before_after_of
from analysis.tuning.figures import figures_of
from analysis.tuning.verdict_text import with_tuning
from analysis.verdict.additions_text import with_additions
from analysis.verdict.noise_text import with_noise
from analysis.verdict.verdict import Verdict, verdict_of
from analysis.what_if.basis import Basis, bases_of
from collect.account import STATES
from collect.arms import first_arms
from collect.judging import Judged
from collect.probe import ProbeRecord
from collect.run import RunManifest
from collect.sharing.marker import ImportedRecord
from collect.tables import Tables


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How the run went over time.

    Attributes:
        trials: variation and trends of each cell's trials.
        course: every attempt in its order.
        nodes: what nodes read, a row a node.
    """

    trials: Stability
    course: Course
    nodes: pd.DataFrame

    @property
    def oddities(self) -> tuple[str, ...]:
        """What is odd over time, a sentence each, with what to do about it."""
        return (*self.trials.sentences, *machine_sentences(self.nodes))


@dataclass(frozen=True, slots=True)
class Study:
    """A run, its tables, and what they mean.

    Attributes:
        all_series: every series of the run.
        shown: which of those on nodes the charts draw, and how.
        scalings: those whose speed was measured.
        setups: what each set of machines makes, with all else equal; empty where a run has neither
            GPUs nor groups nor several kinds of machines.
        family: every comparison of the report.
        counts: trials by state.
        warnings: what is wrong with the run's folder, a sentence each.
        agreement: of a greedy run with the reference; None for another.
        comparison: of answers; None for a run that asked nothing or was not answered.
        opinions: of systems that judged answers.
        figures: what each cell gave, for comparing before and after.
        tuning: what fine-tuning changed; None for a run without tuned models.
        noise: what identical arms showed, which are nowhere else; None if nothing was measured
            twice.
        probe: what its machines can do without an engine; None if they were not probed.
        parts: name to what each part of a run means; empty for a run without parts.
        origin: how the run came here; None for one that was measured here.
    """

    run: RunManifest
    tables: Tables
    all_series: tuple[Series, ...]
    shown: Selection
    scalings: tuple[Scaling, ...]
    setups: tuple[Setup, ...]
    family: Family
    counts: Mapping[str, int]
    verdict: Verdict
    steadiness: Steadiness
    warnings: tuple[str, ...]
    agreement: Agreed | None
    comparison: Comparison | None
    opinions: tuple[Opinion, ...]
    figures: PartFigures
    tuning: BeforeAfter | None
    noise: Noise | None = None
    probe: ProbeRecord | None = None
    parts: Mapping[str, Study] = field(default_factory=dict)
    origin: ImportedRecord | None = None
    _fits: list[tuple[GroupFit, ...]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )
    """Fits are made when they are first wanted, and then kept: several sections use them."""
    _chain: list[pd.DataFrame] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def fits(self) -> tuple[GroupFit, ...]:
        """What the cost model makes of the run."""
        if not self._fits:
            self._fits.append(fits_of(self.run, self.on_nodes, self.tables.nodes, self.probe))
        return self._fits[0]

    @property
    def chain(self) -> pd.DataFrame:
        """Where a token's time goes in a chain of servers, as `chain_times` gives it."""
        if not self._chain:
            self._chain.append(chain_times(self.all_series, self.tables))
        return self._chain[0]

    @property
    def bases(self) -> tuple[Basis, ...]:
        """What questions about settings that were not measured start from."""
        return bases_of(self.run, self.on_nodes, self.fits)

    @property
    def on_nodes(self) -> tuple[Series, ...]:
        """The series that ran on nodes."""
        return tuple(series for series in self.all_series if not series.is_remote)

    @property
    def cells(self) -> list[CellResult]:
        """Every cell of the run."""
        return [cell for series in self.all_series for cell in series.cells]

    @property
    def every_cell(self) -> list[CellResult]:
        """Every cell, those that are second arms included."""
        if self.parts:
            return [cell for part in self.parts.values() for cell in part.every_cell]
        arms = self.noise.arms if self.noise else self.all_series
        return [cell for series in arms for cell in series.cells]

    def with_probe(self, probe: ProbeRecord | None) -> Study:
        """The same with a probe of its machines, in its parts, too."""
        parts = {name: part.with_probe(probe) for name, part in self.parts.items()}
        return replace(self, probe=probe, parts=parts)

    @property
    def is_lab(self) -> bool:
        """The nodes are virtual and share one machine."""
        return self.run.share_machine(self.run.nodes)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run measured, and which of it is compared.

    Attributes:
        run: its plan, without second arms.
        tables: what was measured, without second arms.
        readings: what nodes read, second arms included.
        noise: what identical arms showed; None if nothing was measured twice.
        speeds: the speeds that are compared.
    """

    run: RunManifest
    tables: Tables
    readings: pd.DataFrame
    noise: Noise | None
    cells: tuple[CellResult, ...]
    all_series: tuple[Series, ...]
    speeds: tuple[Pair, ...]

    def compared(
        self, ratings: Ratings | None = None, others: Sequence[Pair] = ()
    ) -> tuple[Comparison | None, Family]:
        """Compare answers, if there are any, and all that is compared.

        Args:
            ratings: what raters thought of its answers; None if there are none.
            others: what other parts of the report compare: all is corrected together.
        """
        floors = self.noise.floors if self.noise else {}
        comparison = comparison_of(
            self.run, self.tables, self.all_series, ratings, self.speeds, others, floors
        )
        if comparison:
            return comparison, comparison.family
        return None, Family(self.speeds, self.run.equivalence_margin, others, floors)


def measured_of(run: RunManifest, tables: Tables) -> Measured:
    """Find the cells, the series and the pairs of a run, or of a part of it."""
    noise, readings = noise_with_answers(run, tables), tables.nodes
    run, tables = first_arms(run, tables)
    cells = cell_results(run, tables.trials, tables.attempts, tables.nodes)
    all_series = series_of(cells)
    on_nodes = tuple(series for series in all_series if not series.is_remote)
    speeds: tuple[Pair, ...] = (
        *speed_pairs(on_nodes),
        *together_pairs(on_nodes),
        *division_pairs(on_nodes),
        *control_pairs(run, cells),
    )
    if has_grown(run, cells):
        speeds = tuple(replace(pair, is_stopped=True) for pair in speeds)
    return Measured(run, tables, readings, noise, cells, all_series, speeds)


def study_of(
    run: RunManifest,
    tables: Tables,
    *,
    warnings: Sequence[str] = (),
    agreement: Agreed | None = None,
    ratings: Ratings | None = None,
    judges: Sequence[Judged] = (),
) -> Study:
    """Find out what the tables of a run mean; see `meaning_of`."""
    return meaning_of(
        measured_of(run, tables),
        warnings=warnings,
        agreement=agreement,
        ratings=ratings,
        judges=judges,
    )


def meaning_of(
    measured: Measured,
    *,
    warnings: Sequence[str] = (),
    agreement: Agreed | None = None,
    ratings: Ratings | None = None,
    judges: Sequence[Judged] = (),
    others: Sequence[Pair] | None = None,
) -> Study:
    """Find out the meaning of what was measured in a run, or in a part of it.

    Args:
        measured: in the run or the part.
        warnings: what is wrong with the run's folder, a sentence each.
        agreement: of a greedy run with the reference.
        ratings: what raters thought of its answers; None if there are none.
        judges: what systems thought of them.
        others: what the other parts of the report compare; None for a whole run, which alone
            says what tuning changed.
    """
    run, tables, noise, cells = measured.run, measured.tables, measured.noise, measured.cells
    all_series = measured.all_series
    on_nodes = tuple(series for series in all_series if not series.is_remote)
    comparison, family = measured.compared(ratings, others or ())
    scalings = scalings_of(on_nodes, family)
    setups = additions_of(on_nodes, family, machines_known(run.nodes, cells))
    second = noise.counts if noise else {}
    counts = {
        str(state): sum(cell.counts[state] for cell in cells) + second.get(state, 0)
        for state in STATES
    }
    steadiness = Steadiness(
        trials=stability_of(all_series),
        course=course_of(all_series, tables.trials, tables.attempts, tables.nodes),
        nodes=node_frame(measured.readings),
    )
    has_speed = comparison is None or any(len(scaling.points) > 1 for scaling in scalings)
    is_lab = run.share_machine(run.nodes)
    verdict = verdict_of(
        all_series, scalings, counts, is_lab=is_lab, family=family, has_speed=has_speed
    )
    verdict = with_additions(verdict, setups, within(family.margin))
    if agreement is not None:
        verdict = replace(verdict, headline=agreement.headline, details=agreement.sentences)
    if scored := scored_cells(run, all_series):
        change = change_by_nodes(scored, all_series)
        headline = document_headline(scored, all_series)
        verdict = replace(verdict, headline=headline, details=(change,) if change else ())
    verdict = _with_oddities(verdict, steadiness.oddities)
    if noise is not None:
        verdict = with_noise(verdict, noise, family)
    if comparison is not None:
        verdict = comparison.verdict(verdict, has_speed=has_speed)
    figures = figures_of(run, tables, cells, comparison, family)
    tuning = before_after_of(run, [figures]) if run.tuned and others is None else None
    if tuning is not None:
        verdict = with_tuning(verdict, run, tuning)
    return Study(
        run=run,
        tables=tables,
        all_series=all_series,
        shown=selection_of(on_nodes),
        scalings=scalings,
        setups=setups,
        family=family,
        counts=counts,
        verdict=verdict,
        steadiness=steadiness,
        warnings=tuple(warnings),
        agreement=agreement,
        comparison=comparison,
        opinions=opinions(comparison.systems, judges) if comparison else (),
        figures=figures,
        tuning=tuning,
        noise=noise,
    )


def _with_oddities(verdict: Verdict, oddities: tuple[str, ...]) -> Verdict:
    """The verdict with what is odd over time among its caveats."""
    if not oddities:
        return verdict
    return replace(
        verdict,
        caveats=(*verdict.caveats, *oddities),
        reservations=(*verdict.reservations, "not steady, see Stability"),
    )
