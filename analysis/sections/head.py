"""The head of the page: the verdict, key figures, and what was run."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.blocks import Block, Bullets, Figures, File, Folded, Prose, Section, Tally, note
from analysis.cells.family import STOPPED
from analysis.cells.planned import asked_tokens, has_grown, plan_frame
from analysis.cells.series import constants
from analysis.charts.selection import MOST_SERIES
from analysis.model.laws import Law
from analysis.stability.course import moment
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, plural
from analysis.verdict.caveats import padded_heads
from analysis.verdict.scaling_text import thrown_away
from analysis.verdict.summary import key_figures
from collect.run import RunManifest
from collect.workloads import PROMPT_AXES, Benchmark, Documents, Greedy, Questions, Workload
from core.record import Scalar

OF_PARTS = (
    "Each part has its own repeats; the trials of all parts alternate in randomised blocks (seed "
    "{seed})."
)
ADDED = (
    "Blocks were added until the intervals of the cells that are compared were narrow, or the "
    "ceiling was reached: up to {most} trials of a cell. Such a stop finds more differences than "
    "there are, so each p-value counts {times} times."
)
IMPORTED = (
    "This run was measured elsewhere and imported on {at} from {archive} (sha256 begins with "
    "{sha256}); this report is made from its logs."
)
DIFFERS = "The report in the archive differs: {difference}"
MOST_OPEN = 4
"""Findings that are not folded."""


def sections(study: Study) -> Iterator[Section]:
    """Make the head: what was found, what must be known of it, and what was run."""
    verdict = study.verdict
    figures = (study.comparison and study.comparison.figures) or key_figures(
        study.all_series, study.scalings, study.family
    )
    figures = () if study.parts else figures
    tally = Tally("ledger", "Ledger", "planned", study.counts, thrown_away(study.every_cell))
    blocks: list[Block] = list(_findings(study))
    blocks += [Bullets(verdict.caveats, is_warning=True)] if verdict.caveats else []
    blocks += [Figures(figures)] if figures else []
    protocol = note(*_protocol(study), file=File("plan", plan_frame(study.run, _further(study))))
    states = File("ledger", pd.DataFrame(study.counts.items(), columns=["state", "trials"]))
    yield Section("verdict", verdict.headline, (*blocks, tally, protocol), files=(states,))


def _further(study: Study) -> dict[str, Scalar]:
    most = max((cell.planned for cell in study.cells), default=0)
    begun = {"begun": moment(study.run.created_at), **study.steadiness.course.facts}
    drawn: dict[str, Scalar] = {"most trials of a cell": most, "most series in colour": MOST_SERIES}
    if has_grown(study.run, study.cells):
        drawn["times that each p-value counts"] = STOPPED
    laws = {f"fewest numbers of nodes, {law}": law.fewest for law in Law}
    trend = study.steadiness.trials.common
    trends = (
        {"change of the whole run": trend.change, "its rank correlation": trend.rho}
        if trend
        else {}
    )
    return {**drawn, **trends, **laws, **begun, **padded_heads(study.all_series)}


def _findings(study: Study) -> Iterator[Block]:
    details = study.verdict.details
    if len(details) <= MOST_OPEN or study.parts:
        yield from (Prose((sentence,)) for sentence in details)
        return
    summary = "More findings: {findings}" if study.comparison else "Findings by series: {findings}"
    yield Folded(say(summary, findings=len(details)), (Bullets(details),), is_printed=True)


def _protocol(study: Study) -> Iterator[Sentence]:
    run = study.run
    if study.origin is not None:
        at, sha256 = moment(study.origin.at), study.origin.sha256[:16]
        yield say(IMPORTED, archive=study.origin.archive, at=at, sha256=sha256)
        yield from (say(DIFFERS, difference=told) for told in study.origin.notes)
    if run.workload is not None:
        yield say("Each trial: {workload}.", workload=workload_in_words(run.workload, run))
    if study.parts:
        yield say(OF_PARTS, seed=run.seed)
        return
    repeats = (
        "{repeats} in randomised blocks (seed {seed})."
        if run.repeats > 1
        else "{repeats} (seed {seed})."
    )
    yield say(repeats, repeats=plural(run.repeats, "repeat"), seed=run.seed)
    most = max((cell.planned for cell in study.cells), default=0)
    if has_grown(run, study.cells):
        yield say(ADDED, most=most, times=STOPPED)
    if run.warmup:
        yield say("Warm-up trials of each cell, not counted: {warmup}.", warmup=run.warmup)
    if same := constants(study.all_series):
        yield say("The same in all series: {same}.", same=same)


def workload_in_words(workload: Workload, run: RunManifest) -> Sentence:
    """Say what the engines were asked to do.

    Args:
        workload: of the run.
        run: its plan: cells may have their own numbers of tokens.
    """
    if isinstance(workload, Benchmark):
        asked = (asked_tokens(workload, run, axis) for axis in PROMPT_AXES)
        prompt, generated = (listing([*map(str, tokens)], "or") for tokens in asked)
        return say(
            "process a prompt of {prompt} tokens, then generate {generated} tokens",
            prompt=prompt,
            generated=generated,
        )
    if isinstance(workload, Questions):
        return say(
            "answer {questions} from {file}, one after the other, each in at most {tokens} tokens "
            "at temperature {temperature:g} (seed {seed})",
            questions=plural(len(workload.asked), "question"),
            file=workload.file,
            tokens=workload.max_tokens,
            temperature=workload.temperature,
            seed=workload.seed,
        )
    if isinstance(workload, Greedy):
        return say(
            "continue one of {prompts} with the most likely token each time, up to {positions} "
            "tokens including the prompt; the last trial of a cell scores a text instead",
            prompts=plural(len(workload.prompts), "prompt"),
            positions=workload.positions,
        )
    if isinstance(workload, Documents):
        return say(
            "score one of {texts} from {file}, token by token, each of at most {characters} "
            "characters",
            texts=plural(len(workload.scored), "text"),
            file=workload.file,
            characters=workload.characters,
        )
    return say(
        "compute the perplexity of the first {characters} characters of {text}",
        characters=workload.characters,
        text=workload.text,
    )
