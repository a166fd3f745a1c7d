"""What people think of answers, on disk: `results/<run>/ratings/`.

results/<run>/ratings/
    <rater>.jsonl       a line a judgement, added when it is made; the last of an answer counts
    <sheet>.key.json    which label meant which answer (`experiments.rating` alone reads it)
    judges/             what systems thought that were asked (see `collect.judging`)

An answer is known by the hash of its text, so that a text that several systems gave is judged once,
and a judgement names no system.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from collect.account import Account
from collect.run import Sha256
from core.errors import HerdError
from core.foreign import is_file_name
from core.record import (
    LARGEST_RECORD_BYTES,
    Moment,
    Record,
    UnfitError,
    Words,
    own_folder,
    parse_record,
    read_file,
    why,
)

RATINGS_FOLDER = "ratings"
JUDGEMENTS_SUFFIX = ".jsonl"

RUBRICS = {
    "quality": "Is it well written: clear, in order, in the language of the question?",
    "detail": "Does it say as much as the question calls for?",
    "accuracy": "Is what it says true?",
    "usefulness": "Would it have helped the one who asked?",
}
"""What is judged, each from 1 (worst) to 5 (best), with the question that a rater is asked."""
LOWEST, HIGHEST = 1, 5

Line = TypeVar("Line", bound=Record)
Score = Annotated[int, Field(strict=True, ge=LOWEST, le=HIGHEST)]


class Judgement(Record):
    """What a rater thinks of an answer.

    Attributes:
        at: Unix time in seconds at which it was stored.
        question: id of the question.
        answer: the answer's hash, by `answer_hash`.
        quality: 1 to 5; None while not judged; so the other rubrics.
        comment: in the rater's words.
    """

    at: Moment
    question: Words
    answer: Sha256
    quality: Score | None = None
    detail: Score | None = None
    accuracy: Score | None = None
    usefulness: Score | None = None
    comment: Annotated[str, Field(max_length=4000)] = ""

    @property
    def scores(self) -> dict[str, int]:
        """Rubric to score, of those judged."""
        given = {rubric: getattr(self, rubric) for rubric in RUBRICS}
        return {rubric: int(score) for rubric, score in given.items() if score is not None}

    @property
    def is_whole(self) -> bool:
        """Every rubric is judged."""
        return len(self.scores) == len(RUBRICS)


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that a cell gave in a trial that counts."""

    cell_id: str
    repeat: int
    question: str
    text: str


def answer_hash(text: str) -> str:
    """The sha256 by which an answer is known; space around it is not part of it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()


def given_answers(account: Account) -> tuple[Given, ...]:
    """Every whole answer of the trials that count, in the order of the run."""
    return tuple(
        Given(state.cell.cell_id, state.trial.repeat, answer.question, answer.text)
        for state in account.trials
        if state.chosen and state.chosen.measurement
        for answer in state.chosen.measurement.answers
        if answer.error is None
    )


def read_judgements(path: Path) -> tuple[Judgement, ...]:
    """The judgements in a rater's file, in the order in which they were made.

    Raises:
        HerdError: the file cannot be read, or a line of it is no judgement.
    """
    return read_lines(path, Judgement)


def read_lines(path: Path, kind: type[Line]) -> tuple[Line, ...]:
    """The records of a file to which lines are added.

    A last line without an end is the trace of a crash: it was never confirmed as stored, and is
    left out.

    Raises:
        HerdError: the file cannot be read, or a line of it is no such record.
    """
    try:
        *lines, _torn = read_file(path.parent, path.name, LARGEST_RECORD_BYTES).split(b"\n")
    except OSError as error:
        raise HerdError(f"Reading the ratings {path}: {why(error)}.") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(parse_record(line, kind))
        except UnfitError as error:
            raise HerdError(
                f"{path}, line {number}: this is not a valid {kind.__name__.lower()} ({error}). "
                "Restore the file, or move it away: the others do not need it."
            ) from None
    return tuple(found)


def latest(judgements: tuple[Judgement, ...]) -> dict[tuple[str, str], Judgement]:
    """Question and answer to the last judgement of them."""
    return {(one.question, one.answer): one for one in judgements}


def read_ratings(run_folder: Path) -> dict[str, tuple[Judgement, ...]]:
    """Rater to what counts of that rater's judgements, by rater; empty where there are no ratings.

    Raises:
        HerdError: a file of ratings cannot be read.
    """
    folder = own_folder(run_folder, RATINGS_FOLDER)
    files = sorted(folder.glob(f"*{JUDGEMENTS_SUFFIX}")) if folder else []
    for path in files:
        if not is_file_name(path.name):
            raise HerdError(
                f"Reading the ratings of {run_folder.name}: {path.name!r} is not a valid name."
            )
    rated = {
        path.name.removesuffix(JUDGEMENTS_SUFFIX): tuple(latest(read_judgements(path)).values())
        for path in files
    }
    return {rater: judged for rater, judged in rated.items() if judged}
