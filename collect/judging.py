"""What a system thought of answers, asked to compare them in pairs: `<run>/ratings/judges/`.

results/<run>/ratings/judges/
    <system>.json       who judged, and with which words it was asked
    <system>.jsonl      a line a comparison: every pair twice, each answer first once
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from collect.errors import HerdError
from collect.ratings import JUDGEMENTS_SUFFIX, RATINGS_FOLDER, read_lines
from collect.run import Price, Record

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
        price: when it was asked last; None if nobody said what it costs.
    """

    name: str
    model: str
    url: str
    prompt: str
    temperature: float
    max_tokens: int
    price: Price | None = None


class Comparison(Record):
    """What a judge said of two answers in one order.

    Attributes:
        at: Unix time in seconds.
        question: id of the question.
        first: hash of the answer that was shown first (`collect.ratings.answer_hash`).
        second: of the other.
        choice: which it found better; None if its reply has no verdict.
        said: the whole reply.
        served_model: as the server called what replied; None where it does not tell.
        read_tokens: as the server counts them; None where it does not tell.
        generated_tokens: likewise.
        error: why the reply is not whole, which then costs and says nothing; None if it is.
    """

    at: float
    question: str
    first: str
    second: str
    choice: Choice | None
    said: str
    served_model: str | None
    read_tokens: int | None = None
    generated_tokens: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge and all that it was asked.

    Attributes:
        comparisons: its whole replies.
        broken: those that broke off.
    """

    judge: Judge
    comparisons: tuple[Comparison, ...]
    broken: tuple[Comparison, ...] = ()


def judge_files(run_folder: Path, name: str) -> tuple[Path, Path]:
    """Where a judge is described, and where its comparisons lie."""
    folder = run_folder / RATINGS_FOLDER / JUDGES_FOLDER
    return folder / f"{name}.json", folder / f"{name}{JUDGEMENTS_SUFFIX}"


def read_judge(path: Path) -> Judge | None:
    """The judge described in a file; None if there is no such file.

    Raises:
        HerdError: it cannot be read.
    """
    try:
        return Judge.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise HerdError(
            f"Reading the judge {path}: {error}. Restore it, or move it away."
        ) from None


def read_judges(run_folder: Path) -> tuple[Judged, ...]:
    """All judges of a run with what they said, by name; empty where none was asked.

    Raises:
        HerdError: a file of theirs cannot be read.
    """
    found = []
    for path in sorted((run_folder / RATINGS_FOLDER / JUDGES_FOLDER).glob("*.json")):
        judge = read_judge(path)
        lines = path.with_name(f"{path.name.removesuffix('.json')}{JUDGEMENTS_SUFFIX}")
        if judge is not None and lines.exists():
            asked = read_lines(lines, Comparison)
            whole = tuple(one for one in asked if one.error is None)
            found.append(Judged(judge, whole, tuple(one for one in asked if one.error)))
    return tuple(found)
