"""Two runs as `fab compare-runs --json` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.two_runs.comparison import TwoRuns
from analysis.two_runs.sentences import caveats, details, headline
from core.json_answer import JsonAnswer, JsonPart


class ComparedRun(JsonPart):
    """A run.

    Attributes:
        created_at: Unix time in seconds.
        toolkit: version of the toolkit.
    """

    run: str
    title: str
    created_at: float
    toolkit: str


class ComparedSpeed(JsonPart):
    """A speed of a cell that both runs have.

    Attributes:
        cell: in words.
        what: `tokens/s`, `tokens/s of the prompt`; of answers `first token`, `whole answer`.
        baseline_per_s: geometric mean; of answers over questions, one over the time.
        contender_per_s: the same of the contender.
        n: trials on the side that has fewer, or questions that both answered.
        ratio: contender over baseline; more than 1 is faster.
        low: lower end of the 95 % interval; null with too few trials.
        high: upper end of it.
        p_adjusted: after correction for all speeds; null with too few trials.
        verdict: `faster`, `slower`, `no difference` or `cannot tell`.
        why: the reason why there is no verdict although the figures would allow one; else empty.
        changed: what of the cell was changed: `program`, `model`, `setting`, `machines`,
            `machine`, `system`, `network`.
        paired_by: `identity`, or `axes` where the identities differ.
        is_beyond_limit: it is slower by more than the limit.
    """

    cell_id: str
    cell: str
    what: str
    baseline_per_s: float
    contender_per_s: float
    n: int
    ratio: float
    low: float | None
    high: float | None
    p_adjusted: float | None
    verdict: str
    why: str
    changed: tuple[str, ...]
    paired_by: str
    is_beyond_limit: bool


class ComparedQuality(JsonPart):
    """Answers or texts of a cell.

    Attributes:
        what: `right`, `bits per byte`, `perplexity`, `the same first answer`.
        low: lower end of the 95 % interval of the change; null where there is none.
        high: upper end of it.
        n: questions or documents.
    """

    cell: str
    what: str
    baseline: float | None
    contender: float
    low: float | None
    high: float | None
    n: int
    verdict: str


class RecordedChange(JsonPart):
    """A thing that differs between the runs."""

    kind: str
    where: str
    what: str
    baseline: str
    contender: str


class NotCompared(JsonPart):
    """A cell that is not compared."""

    side: str
    cell: str
    why: str


class RunsDiffer(JsonPart):
    """How far two runs of the same differ.

    Attributes:
        bound: at most so much in 95 % of cases, as a share.
        is_assumed: it was not measured.
        runs: runs of the same cells that were found.
    """

    what: str
    bound: float
    is_assumed: bool
    runs: int


class CompareRunsAnswer(JsonAnswer):
    """A contender against a baseline.

    Attributes:
        headline: the answer, one sentence.
        details: further findings.
        caveats: what must be known before quoting it.
        limit: of `--fail-below`, as a share; null without it.
        is_regression: the limit is broken; the exit code is 3 then.
        lost: cells that the baseline measured, whose trials all failed in the contender.
        unfinished: cells that the baseline measured, where the contender has trials left, or too
            few for a verdict; with a limit that is not broken the exit code is 4 then.
        margin: relative difference below which two speeds count as the same.
        page: file of the page.
    """

    baseline: ComparedRun
    contender: ComparedRun
    headline: str
    details: tuple[str, ...]
    caveats: tuple[str, ...]
    limit: float | None
    is_regression: bool
    lost: tuple[str, ...]
    unfinished: tuple[str, ...]
    margin: float
    between: tuple[RunsDiffer, ...]
    speeds: tuple[ComparedSpeed, ...]
    quality: tuple[ComparedQuality, ...]
    changes: tuple[RecordedChange, ...]
    not_compared: tuple[NotCompared, ...]
    page: str


def compare_runs_answer(found: TwoRuns, page: Path) -> CompareRunsAnswer:
    """Answer for two runs whose page was written."""
    return CompareRunsAnswer(
        baseline=ComparedRun.model_validate(found.baseline.run, from_attributes=True),
        contender=ComparedRun.model_validate(found.contender.run, from_attributes=True),
        headline=headline(found),
        details=tuple(details(found)),
        caveats=tuple(caveats(found)),
        limit=found.asked.limit,
        is_regression=found.is_regression,
        lost=tuple(pair.name for pair in found.lost),
        unfinished=tuple(pair.name for pair in found.unfinished),
        margin=found.margin,
        between=tuple(
            RunsDiffer(what=what, bound=one.bound, is_assumed=one.is_assumed, runs=one.runs)
            for what, one in found.between.items()
        ),
        speeds=tuple(_speeds(found)),
        quality=tuple(
            ComparedQuality(
                cell=one.name, what=one.what, baseline=one.baseline, contender=one.contender,
                low=one.low, high=one.high, n=one.n, verdict=one.verdict,
            )
            for one in found.quality
        ),
        changes=tuple(
            RecordedChange.model_validate(one, from_attributes=True) for one in found.changes
        ),
        not_compared=tuple(
            NotCompared(side=one.side, cell=one.name, why=one.why) for one in found.left
        ),
        page=str(page),
    )  # fmt: skip


def _speeds(found: TwoRuns) -> Iterator[ComparedSpeed]:
    pairs = {pair.key: pair for pair in found.pairs}
    for one in found.speeds:
        ratio, pair = one.means.ratio, pairs[one.asked.key]
        baseline, contender = one.asked.per_s
        yield ComparedSpeed(
            cell_id=one.asked.key,
            cell=one.asked.name,
            what=one.asked.what,
            baseline_per_s=baseline,
            contender_per_s=contender,
            n=one.means.n,
            ratio=ratio.value,
            low=ratio.low,
            high=ratio.high,
            p_adjusted=one.compared.p_adjusted,
            verdict=str(one.compared.finding),
            why=one.compared.why,
            changed=pair.changed,
            paired_by=pair.by,
            is_beyond_limit=one.is_beyond,
        )
