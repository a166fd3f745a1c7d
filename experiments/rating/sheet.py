"""What a rater gets to see: questions, and their answers under anonymous labels.

Which label means which answer is drawn again for each sheet and question, and is kept apart, in
the sheet's key. Nothing in a sheet names a system, a run or a time.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from collect.account import Account
from collect.arms import is_second
from collect.load import load_run
from collect.questions import Question
from collect.ratings import RATINGS_FOLDER, answer_hash, given_answers
from collect.run import RunManifest, Sha256
from collect.workloads import Questions
from core.durable import replace_file, writing
from core.errors import HerdError
from core.foreign import FileName, inside
from core.record import Record, Whole, Words, own_folder, read_record
from experiments.disk.ledger import find_run, plans

Texts = Mapping[str, Mapping[str, str]]
"""Id of a question to hash of an answer to its text."""


class SheetKey(Record):
    """Which label of a sheet means which answer.

    Attributes:
        sheet: name of the sheet: the rater's, or a separate one if it is for anyone.
        rater: whose it is; None if it is for anyone.
        seed: of the shuffle.
        order: id of a question to the hashes of its answers; the first one is A.
    """

    sheet: FileName
    rater: FileName | None
    seed: Whole
    order: dict[Words, tuple[Sha256, ...]] = Field(default_factory=dict)

    def extended(self, texts: Texts) -> SheetKey:
        """The key with the answers that it lacks, shuffled, after those that it has."""
        order = {
            question: self._in_order(question, list(answers)) for question, answers in texts.items()
        }
        return self.model_copy(update={"order": {**self.order, **order}})

    def _in_order(self, question: str, answers: Sequence[str]) -> tuple[str, ...]:
        known = self.order.get(question, ())
        new = sorted(set(answers) - set(known))
        # Not for secrecy: the seed is recorded so that anyone can draw again.
        random.Random(f"{self.seed} {question} {len(known)}").shuffle(new)  # noqa: S311
        return (*known, *new)


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as a rater sees it."""

    label: str
    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class SheetQuestion:
    """A question with its answers, by label."""

    question: Question
    answers: tuple[Shown, ...]

    def labelled(self, label: str) -> Shown | None:
        """The answer of that label."""
        return next((shown for shown in self.answers if shown.label == label), None)


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that a rater is asked.

    Attributes:
        name: of its key.
        rater: whose it is; None if it is for anyone.
        asked: questions in the order of their file, those without an answer left out.
    """

    name: str
    rater: str | None
    asked: tuple[SheetQuestion, ...]

    def question(self, question_id: str) -> SheetQuestion | None:
        """The question of that id."""
        return next((one for one in self.asked if one.question.id == question_id), None)

    @property
    def size(self) -> int:
        """How many answers there are to judge."""
        return sum(len(one.answers) for one in self.asked)


def label_of(position: int) -> str:
    """`A` for 0, `Z` for 25, then `AA`, `AB`, …."""
    letters = ""
    position += 1
    while position:
        position, letter = divmod(position - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def find_asked(results: Path, run: str | None) -> Path:
    """The folder of the run of that name, or of the latest that asked questions.

    Raises:
        HerdError: there is none, or it asked none.
    """
    if run is not None:
        folder = find_run(results, run)
        found = [(folder, load_run(folder))]
    else:
        found = plans(results)
    for folder, manifest in reversed(found):
        if any(isinstance(workload, Questions) for workload in manifest.workloads):
            return folder
    subject = f"no run in {results} asked questions"
    if run is not None:
        subject = f"the run {found[0][0].name} asked no questions"
    raise HerdError(
        f"There are no answers to rate: {subject}. A matrix with the workload `questions` asks "
        "some, such as experiments/matrices/questions.yml."
    )


def open_sheet(run_folder: Path, name: str, rater: str | None) -> Sheet:
    """The sheet of that name, with the labels that it had before; new answers come after them.

    Its key is made, or made longer, before anyone sees a label.

    Args:
        run_folder: `results/<run>`, of a run that asked questions.
        name: of the sheet.
        rater: whose it is; None if it is for anyone.

    Raises:
        HerdError: nothing was answered yet, or the key cannot be read or written.
    """
    account = Account.read(run_folder)
    texts = texts_to_rate(account)
    if not texts:
        raise HerdError(
            f"The run {run_folder.name} has no complete answer yet. `fab run-matrix` continues it."
        )
    kept = load_key(run_folder, name) or SheetKey(
        sheet=name, rater=rater, seed=secrets.randbits(32)
    )
    key = kept.extended(texts)
    if key != kept:
        with writing(f"the key of the sheet {name}", run_folder):
            (run_folder / RATINGS_FOLDER).mkdir(exist_ok=True)
            replace_file(key_path(run_folder, name), key.model_dump_json(indent=1).encode())
    return sheet_of(account.manifest, key, texts)


def texts_to_rate(account: Account) -> dict[str, dict[str, str]]:
    """What there is to judge: of each cell its first answer to each question, equal ones once."""
    found: dict[str, dict[str, str]] = {}
    seen: set[tuple[str, str]] = set()
    second = {cell.cell_id for cell in account.manifest.cells if is_second(cell)}
    first_arms = (given for given in given_answers(account) if given.cell_id not in second)
    for given in sorted(first_arms, key=lambda given: given.repeat):
        if (given.cell_id, given.question) not in seen:
            seen.add((given.cell_id, given.question))
            texts = found.setdefault(given.question, {})
            texts.setdefault(answer_hash(given.text), given.text.strip())
    return found


def sheet_of(run: RunManifest, key: SheetKey, texts: Texts) -> Sheet:
    """The sheet that a key labels; answers that are no longer to judge keep their label unused."""
    asked = []
    for question in run.asked:
        known = texts.get(question.id, {})
        answers = tuple(
            Shown(label_of(position), answer, known[answer])
            for position, answer in enumerate(key.order.get(question.id, ()))
            if answer in known
        )
        if answers:
            asked.append(SheetQuestion(question, answers))
    return Sheet(key.sheet, key.rater, tuple(asked))


def key_path(run_folder: Path, sheet: str) -> Path:
    """Return where the key of a sheet is."""
    own_folder(run_folder, RATINGS_FOLDER)
    return inside(run_folder, f"{RATINGS_FOLDER}/{sheet}.key.json")


def load_key(run_folder: Path, sheet: str) -> SheetKey | None:
    """The key of a sheet; None if there never was one.

    Raises:
        HerdError: it cannot be read.
    """
    path = key_path(run_folder, sheet)
    remedy = "Restore it; without it, the labels cannot be matched to answers."
    return read_record(path.parent, path.name, SheetKey, f"Reading the key of {sheet}", remedy)
