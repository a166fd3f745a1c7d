"""Questions and answers: latency, correctness, length, price, strengths, every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.answers.answers import AnsweredQuestion
from analysis.answers.comparison import Comparison
from analysis.answers.latency import latency_charts
from analysis.answers.strengths import Traits
from analysis.answers.systems import CLUSTER
from analysis.blocks import (
    Block,
    Card,
    File,
    Folded,
    Grid,
    Part,
    Prose,
    Searched,
    Section,
    Tabled,
    cited,
    note,
)
from analysis.cells.energy import energy_frame
from analysis.cells.tabulate import Table, Text, table
from analysis.cells.wall import wall_frame
from analysis.charted import charted
from analysis.statistics.proportions import FEWEST_TO_NAME
from analysis.statistics.stats import FEWEST
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import NOTHING, plural

SCOPE_OF_FEW = "{questions}, {systems}. The results hold for {scope} and for no others."
SCOPE = "{questions}, {systems}. The results are for {scope}."
OVER_QUESTIONS = (
    "A question's figure is the median over its trials. Medians and their 95 % intervals are over "
    "questions."
)
OVER_FEW_QUESTIONS = (
    "A question's figure is the median over its trials. Medians and ranges are over questions."
)
REMOTE = "Times over the Internet include the network: they are not the speed of an engine."
PAIRED = (
    "Time to the whole answer, paired by question: how often the first system was faster, and the "
    "ratio of the times (geometric mean, interval over questions)."
)
BY_KEY = (
    "Only questions with a key. Answers are checked by the rules in docs/answers.md; no person has "
    "checked them."
)
MAJORITY = "A question that was asked several times is correct if more than half its answers are."
MCNEMAR = (
    "On how many questions one of the two was right and the other was not: exact McNemar test, "
    "p-values corrected for all comparisons in this report (Holm). One is called better only if p "
    "is below 0.05."
)
TOO_FEW_KEYS = (
    "On how many questions one of the two was right and the other was not. Below {least} questions "
    "with a key there is no test, and neither is called better."
)
COUNTED = (
    "Counted in the answers of the first trial; medians over questions. More is not better. "
    "Repetition: share of three-word sequences that occurred before in the same answer."
)
SAME_SCRIPT = (
    "Same script as the question: most letters of question and answer belong to one script; only "
    "questions without a key count."
)
PRICES = (
    "Computed from the prices given with the run, valid on the date shown, and the tokens reported "
    "by the API. The bill covers every attempt, including those that do not count. 1000 answers: a "
    "thousand times the median answer."
)
FREE_REPLAYS = "Replayed answers cost nothing."
JOULES = "What answers on own machines used is under Energy, in joules."
NO_JOULES = "Energy was not measured, so answers on own machines show no cost."
TRAITS = "Based on {scope}. Each line links to the figure behind it."
AS_RECEIVED = (
    "Answers are shown as received in the first trial. Times are those of every trial, from "
    "sending the question."
)
OR_MORE = (
    "“Or more” tokens: the server does not report a token count, so chunks of its stream were "
    "counted."
)
UNKNOWN_END = "“Not reported if cut off”: the server gives no reason why an answer ended."


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that asked questions."""
    found = study.comparison
    if found is None:
        return
    scope = say(
        SCOPE_OF_FEW if found.is_few else SCOPE,
        questions=plural(len(found.questions), "question"),
        systems=plural(len(found.systems), "system"),
        scope=found.scope,
    )
    parts = [
        _latency(found),
        *_accuracy(found, study.run.repeats),
        _detail(found),
        *_price(study, found),
        _strengths(found),
        _side_by_side(found),
    ]
    yield Section(
        "answers", "Questions and answers", (Prose((scope,)), *parts), "Answers",
        files=tuple(File(stem, data) for stem, data in found.frames.items()),
    )  # fmt: skip


def _file(found: Comparison, stem: str, label: str = "CSV") -> File | None:
    data = found.frames.get(stem)
    return None if data is None else File(stem, data, label)


def _folded(
    found: Comparison, summary: str, made: Table | None, caption: str, stem: str, *notes: str
) -> Iterator[Folded]:
    """A folded table with its file; nothing where there is no table."""
    if made is not None:
        yield Folded(summary, (Tabled(caption, made, notes, _file(found, stem)),))


def _latency(found: Comparison) -> Part:
    few = len(found.questions) < FEWEST
    notes = [OVER_FEW_QUESTIONS if few else OVER_QUESTIONS]
    notes += [REMOTE] if any(s.is_remote and len(s.timed) for s in found.systems) else []
    blocks: tuple[Block, ...] = (
        *charted(latency_charts(found.systems)),
        Tabled("Latency", found.waiting, tuple(map(say, notes)), _file(found, "waiting")),
        *_folded(
            found, say("Every two systems, question by question"), found.waiting_pairs,
            say("Latency of every two systems"), "waiting-pairs", say(PAIRED),
        ),
    )  # fmt: skip
    return Part("Latency", blocks, "waiting")


def _accuracy(found: Comparison, repeats: int) -> Iterator[Part]:
    if found.accuracy is None:
        return
    keyed = sum(question.key is not None for question in found.questions)
    pairs = say(MCNEMAR) if keyed >= FEWEST_TO_NAME else say(TOO_FEW_KEYS, least=FEWEST_TO_NAME)
    is_tested = found.accuracy_pairs is not None and keyed >= FEWEST_TO_NAME
    tested = ("McNemar's test", "mcnemar1947") if is_tested else None
    notes = (say(BY_KEY), *([say(MAJORITY)] if repeats > 1 else []))
    blocks: tuple[Block, ...] = (
        Tabled("Correct answers", found.accuracy, notes, _file(found, "accuracy")),
        *_folded(
            found, say("By topic"), found.topics, say("Correct answers by topic"),
            "accuracy-topics",
        ),
        *_folded(
            found, say("Every two systems, question by question"), found.accuracy_pairs,
            say("Correct answers of every two systems"), "accuracy-pairs", pairs,
        ),
        *cited(("Wilson's interval", "wilson1927"), tested),
    )  # fmt: skip
    yield Part("Correct answers", blocks, "accuracy")


def _detail(found: Comparison) -> Part:
    has_scripts = bool((found.frames["detail"]["of_writing"] > 0).any())
    notes = (say(COUNTED), *([say(SAME_SCRIPT)] if has_scripts else []))
    shown = Tabled("Length and detail", found.detail, notes, _file(found, "detail"))
    return Part("Length and detail", (shown,), "detail")


def _price(study: Study, found: Comparison) -> Iterator[Part]:
    if found.price is None:
        return
    notes = [PRICES]
    notes += [FREE_REPLAYS] if any(system.has_replayed for system in found.systems) else []
    if any(system.path == CLUSTER for system in found.systems):
        frames = (energy_frame(study.all_series), wall_frame(study.all_series))
        notes.append(NO_JOULES if all(frame.empty for frame in frames) else JOULES)
    shown = Tabled("Price", found.price, tuple(map(say, notes)), _file(found, "price"))
    yield Part("Price", (shown,), "price")


def _strengths(found: Comparison) -> Part:
    title = say("Strengths and what to improve")
    scope = say(TRAITS, scope=found.scope)
    shown = Tabled(title, _trait_table(found.traits), (scope,), _file(found, "strengths"))
    return Part(title, (shown,), "strengths", "Strengths")


def _trait_table(traits: Sequence[Traits]) -> Table:
    rows: list[list[str | Text]] = []
    for one in traits:
        kinds = (("strength", one.strengths), ("to improve", one.to_improve))
        lines = [(kind, Text(li.text, anchor=li.where)) for kind, all_ in kinds for li in all_]
        rows += [[one.system, kind, text] for kind, text in lines or [(NOTHING, Text(NOTHING))]]
    return table(("System", "Kind", "What"), rows)


def _side_by_side(found: Comparison) -> Part:
    searched = Searched(
        say("Search questions and answers"), tuple(_question(one) for one in found.asked)
    )
    facts = {fact for one in found.asked for card in one.cards for fact in card.facts}
    read = note(
        say(AS_RECEIVED),
        say(OR_MORE) if any("or more" in fact for fact in facts) else "",
        say(UNKNOWN_END) if "not reported if cut off" in facts else "",
        file=_file(found, "answers", "Every answer: CSV"),
    )
    return Part("Side by side", (searched, read), "side-by-side", "Side by side")


def _question(one: AnsweredQuestion) -> Folded:
    cards = tuple(Card(card.system, card.mark, card.text, card.facts) for card in one.cards)
    rubric = one.question.rubric
    blocks: list[Block] = [Grid(cards, "cards")]
    blocks += [note(say("What to look at: {rubric}", rubric=rubric))] if rubric else []
    return Folded(one.question.text, tuple(blocks), lead=one.question.id, is_printed=True)
