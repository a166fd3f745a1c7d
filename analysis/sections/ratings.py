"""What people and judging systems thought of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.answers.llm_judges import Opinion
from analysis.answers.ratings import Rated
from analysis.blocks import Block, Code, File, Folded, Part, Section, Tabled, cited
from analysis.cells.tabulate import as_frame
from analysis.statistics.stats import FEWEST
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import plural

BLIND = (
    "From 1 (worst) to 5 (best), by people who did not know which system an answer came from. "
    "Averaged over raters first, then over questions."
)
INTERVAL = (
    "The interval is Student's, over questions: it holds for these {questions} and for no others."
)
RANGE = "Below six questions the range is shown: it holds for these {questions} and for no others."
KAPPA = (
    "Cohen's kappa with quadratic weights over the n answers that both raters scored: 1 is full "
    "agreement, 0 is what chance would give. It is left out below 10 answers, or if both raters "
    "gave every answer the same score."
)
OPINION = (
    "A program's opinion ({model} at temperature {temperature:g}), in numbers of questions. It saw "
    "every pair of answers in both orders, without names."
)


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run whose answers were rated."""
    rated = study.comparison.rated if study.comparison else None
    if rated is None and not study.opinions:
        return
    blocks: list[Block] = list(_rated(rated)) if rated else []
    blocks += map(_opinion, study.opinions)
    agreement = rated.agreement if rated else None
    blocks += cited(
        ("Agreement between raters", "cohen1968") if agreement is not None else None,
        ("Judgement by a model", ("zheng2023judging", "shi2024judges")) if study.opinions else None,
    )
    yield Section("ratings", "Ratings", tuple(blocks), "Ratings", (*_files(study.opinions),))


def _files(judged: Sequence[Opinion]) -> Iterator[File]:
    """What judges chose of each two systems, and how each of them leans."""
    if judged:
        found = [as_frame(one.outcomes).assign(Judge=one.judge.name) for one in judged]
        yield File("judged", pd.concat(found, ignore_index=True))
        yield File("judges", pd.DataFrame([one.figures for one in judged]))


def _rated(rated: Rated) -> Iterator[Block]:
    scores = File("ratings", rated.scores, "Every score: CSV")
    spread = INTERVAL if rated.questions >= FEWEST else RANGE
    notes = (say(BLIND), say(spread, questions=plural(rated.questions, "question")))
    yield Tabled("Ratings", rated.means, notes, scores)
    title = say("Every score, question by question")
    yield Folded(title, (Tabled(title, rated.points, most=200),))
    yield Part("Raters", (Tabled("Raters", rated.raters),))
    if rated.agreement is not None:
        title = say("Agreement between raters")
        yield Part(title, (Tabled(title, rated.agreement, (say(KAPPA),)),))


def _opinion(opinion: Opinion) -> Part:
    judge = opinion.judge
    title = say("Judged by {judge}", judge=judge.name)
    how = say(OPINION, model=judge.model, temperature=judge.temperature)
    prompt = Folded(say("The prompt"), (Code(judge.prompt),))
    return Part(title, (Tabled(title, opinion.outcomes, (how, *opinion.notes)), prompt))
