"""What a system thought of answers, asked to compare them in pairs: `<run>/ratings/judges/`.

results/<run>/ratings/judges/
    <system>.json       who judged, and with which words it was asked
    <system>.jsonl      a line a comparison: every pair twice, each answer first once
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collect.ratings import JUDGEMENTS_SUFFIX, RATINGS_FOLDER, read_lines
from collect.run import Price, Sha256
from core.errors import HerdError
from core.foreign import Count, FileName, inside
from core.record import Moment, Number, Record, Words, own_folder, read_record

JUDGES_FOLDER = "judges"

Choice = Literal["first", "second", "tie"]


class Judge(Record):
    """A system that was asked to judge.

    Attributes:
        name: of the system.
        model: as its server calls it.
        url: where it was asked, up to `/v1`.
        prompt: what it was asked, with `{question}`, `{first}` and `{second}` for the texts.
        temperature: of its sampler.
        max_tokens: after that many its reply was cut off.
        price: when it was asked last; None if no price is given.
    """

    name: FileName
    model: Words
    url: Words
    prompt: str
    temperature: Number
    max_tokens: Count
    price: Price | None = None


class Ruling(Record):
    """What a judge said of two answers in one order.

    Attributes:
        at: Unix time in seconds.
        question: id of the question.
        first: hash of the answer that was shown first (`collect.ratings.answer_hash`).
        second: of the other.
        choice: which it found better; None if its reply has no verdict.
        said: the whole reply.
        served_model: as the server called what replied; None where it does not report it.
        read_tokens: as the server counts them; None where it does not report it.
        generated_tokens: as the server counts them; None where it does not report them.
        error: why the reply is not whole, which then costs and says nothing; None if it is.
    """

    at: Moment
    question: Words
    first: Sha256
    second: Sha256
    choice: Choice | None
    said: str
    served_model: Words | None
    read_tokens: Count | None = None
    generated_tokens: Count | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge and all that it was asked.

    Attributes:
        comparisons: its whole replies.
        broken: those that broke off.
    """

    judge: Judge
    comparisons: tuple[Ruling, ...]
    broken: tuple[Ruling, ...] = ()


def judge_files(run_folder: Path, name: str) -> tuple[Path, Path]:
    """Return where a judge is described, and where its comparisons are stored."""
    ratings = own_folder(run_folder, RATINGS_FOLDER)
    if ratings is not None:
        own_folder(ratings, JUDGES_FOLDER)
    folder = run_folder / RATINGS_FOLDER / JUDGES_FOLDER
    return inside(folder, f"{name}.json"), inside(folder, f"{name}{JUDGEMENTS_SUFFIX}")


def read_judge(path: Path) -> Judge | None:
    """The judge described in a file; None if there is no such file.

    Raises:
        HerdError: it cannot be read.
    """
    remedy = "Restore it, or move it away."
    judge = read_record(path.parent, path.name, Judge, "Reading what a judge is", remedy)
    if judge is not None and f"{judge.name}.json" != path.name:
        raise HerdError(f"Reading the judge {path}: it is of {judge.name}. {remedy}")
    return judge


def read_judges(run_folder: Path) -> tuple[Judged, ...]:
    """All judges of a run with what they said, by name; empty where none was asked.

    Raises:
        HerdError: a file of theirs cannot be read.
    """
    ratings = own_folder(run_folder, RATINGS_FOLDER)
    folder = ratings and own_folder(ratings, JUDGES_FOLDER)
    found = []
    for path in sorted(folder.glob("*.json")) if folder else ():
        judge = read_judge(path)
        lines = path.with_name(f"{path.name.removesuffix('.json')}{JUDGEMENTS_SUFFIX}")
        if judge is not None and lines.exists():
            asked = read_lines(lines, Ruling)
            whole = tuple(one for one in asked if one.error is None)
            found.append(Judged(judge, whole, tuple(one for one in asked if one.error)))
    return tuple(found)
