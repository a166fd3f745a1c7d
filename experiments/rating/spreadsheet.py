"""A sheet as CSV, to be filled in with any spreadsheet program and read back."""

from __future__ import annotations

import csv
import io
import secrets
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collect.ratings import HIGHEST, LOWEST, RUBRICS, Judgement
from core.durable import replace_file, writing
from core.errors import HerdError
from core.foreign import cell_source, cell_text, is_file_name, one_line
from core.yaml_file import MOST_MISTAKES
from experiments.rating.sheet import Sheet, load_key, open_sheet
from experiments.rating.store import SHARED_PREFIX, judgements_of, rater_name

COLUMNS = (
    "sheet", "rater", "question", "label", "question_text", "answer_text", *RUBRICS, "comment",
)  # fmt: skip
READ_BACK = ("sheet", "rater", "question", "label", *RUBRICS, "comment")
MOST_BYTES = 64 << 20
"""Of a sheet."""
_LONGEST_COMMENT = 4000


@dataclass(frozen=True, slots=True)
class ImportedSheet:
    """What was read from a sheet.

    Attributes:
        rater: who filled it in.
        answers: how many answers have a score in it.
        stored: how many of them were not stored with the same scores before.
    """

    rater: str
    answers: int
    stored: int


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def write_sheet(run_folder: Path, target: Path, rater: str | None) -> Sheet:
    """Write an empty sheet: a rater's own, or one of a new order for anyone.

    Args:
        run_folder: of a run that asked questions.
        target: the CSV file; one that is there already may be half filled in and is not touched.
        rater: whose it is to be.

    Raises:
        HerdError: the file is there already or cannot be written, or nothing was answered.
    """
    if target.exists():
        raise HerdError(f"{target} already exists and may be filled in. Name another file.")
    name = rater_name(rater) if rater is not None else f"{SHARED_PREFIX}{secrets.token_hex(4)}"
    sheet = open_sheet(run_folder, name, None if rater is None else name)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for asked in sheet.asked:
        for shown in asked.answers:
            told = [name, sheet.rater or "", asked.question.id, shown.label]
            texts = [asked.question.text, shown.text]
            rows.writerow([cell_text(cell) for cell in (*told, *texts, *[""] * 5)])
    with writing("the sheet", target):
        # Spreadsheet programs take a file for UTF-8 only if it says so.
        replace_file(target, text.getvalue().encode("utf-8-sig"))
    return sheet


def read_sheet(run_folder: Path, source: Path, rater: str | None) -> ImportedSheet:
    """Store what a filled-in sheet says: all of it, or nothing if there is a mistake in it.

    Args:
        run_folder: of the run whose sheet it is.
        source: the CSV file.
        rater: who filled it in, where the sheet does not say.

    Raises:
        HerdError: what is wrong, a sentence a line of the file.
    """
    rows = _rows(source)
    mistakes: list[str] = []
    who = rater_name(_one(source, rows, "rater", rater))
    sheet = _sheet(run_folder, source, _one(source, rows, "sheet", None))
    judgements = list(_judgements(rows, sheet, mistakes))
    if mistakes:
        more = max(0, len(mistakes) - MOST_MISTAKES)
        raise HerdError(
            "\n".join(f"{source}, {one_line(mistake)}" for mistake in mistakes[:MOST_MISTAKES])
            + (f"\n{source}: and {more} more mistakes." if more else "")
            + "\nNothing was stored. Correct the file and import it again."
        )
    if not judgements:
        raise HerdError(f"{source} contains no score: fill in {', '.join(RUBRICS)}.")
    with judgements_of(run_folder, who) as store:
        stored = sum(store.add(judgement) for judgement in judgements)
    return ImportedSheet(who, len(judgements), stored)


def _rows(source: Path) -> list[_Row]:
    try:
        with source.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise HerdError(f"Reading the sheet {source}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise HerdError(
            f"{source} is not text in UTF-8. Save it as `CSV UTF-8` in the spreadsheet program."
        ) from None
    if len(content) > MOST_BYTES:
        raise HerdError(
            f"{source} has more than {MOST_BYTES >> 20} MiB, which is too large for a sheet."
        )
    csv.field_size_limit(MOST_BYTES)  # else a long answer in a sheet of ours would be no CSV
    head = text.partition("\n")[0]
    # Spreadsheet programs write what the country's decimal sign leaves free.
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(source, columns)
        rows, line = [], reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                filled = [*cells, *[""] * (len(columns) - len(cells))]
                by_name = {
                    name: unicodedata.normalize("NFC", cell.strip())
                    for name, cell in zip(columns, filled, strict=False)
                }
                rows.append(_Row(line, by_name))
            line = reader.line_num + 1
    except csv.Error as error:
        raise HerdError(f"{source}, line {reader.line_num}: this is not CSV: {error}.") from None
    if not rows:
        raise HerdError(f"{source} has no rows below its header.")
    return rows


def _check_columns(source: Path, columns: list[str]) -> None:
    missing = [name for name in READ_BACK if name not in columns]
    if missing:
        raise HerdError(
            f"{source}, line 1: the column {missing[0]} is missing. The header of a sheet is: "
            f"{','.join(COLUMNS)}."
        )


def _one(source: Path, rows: list[_Row], column: str, given: str | None) -> str:
    """Return the only value of a column; rows may leave it empty."""
    value = given.strip() if given is not None else None
    value = value and unicodedata.normalize("NFC", value)
    for row in rows:
        if row[column] and value and row[column] != value:
            raise HerdError(
                f"{source}, line {row.line}: the {column} is {one_line(row[column], 80)} "
                f"instead of {one_line(value, 80)}. A sheet has only one {column}: use a "
                "separate file."
            )
        value = value or row[column]
    if not value:
        remedy = "Fill it in, or give the rater's name with --rater." if column == "rater" else ""
        raise HerdError(f"{source}: the column {column} is empty. {remedy}".rstrip())
    return value


def _sheet(run_folder: Path, source: Path, name: str) -> Sheet:
    key = load_key(run_folder, name) if is_file_name(name) else None
    if key is None:
        raise HerdError(
            f"{source}: the run {run_folder.name} has no sheet {one_line(name, 80)}. With "
            "--run, name the run that the sheet was made from."
        )
    return open_sheet(run_folder, name, key.rater)


def _judgements(rows: list[_Row], sheet: Sheet, mistakes: list[str]) -> Iterator[Judgement]:
    """A judgement a row that has a score or a comment; what is wrong goes to `mistakes`."""
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        place = (row["question"], row["label"].upper())
        answer = _answer(row, sheet, mistakes)
        if first.setdefault(place, row.line) != row.line:
            mistakes.append(
                f"line {row.line}: answer {place[1]} to {place[0]} appears twice (first on line "
                f"{first[place]})"
            )
        scores = _scores(row, mistakes)
        if len(row["comment"]) > _LONGEST_COMMENT:
            mistakes.append(
                f"line {row.line}: the comment is longer than {_LONGEST_COMMENT} characters"
            )
        elif answer and (scores or row["comment"]) and not mistakes:
            yield Judgement(
                at=time.time(),
                question=cell_source(row["question"]),
                answer=answer,
                comment=row["comment"],
                **scores,
            )


def _answer(row: _Row, sheet: Sheet, mistakes: list[str]) -> str | None:
    """Hash of the answer that a row is about."""
    asked = sheet.question(cell_source(row["question"]))
    if asked is None:
        ids = ", ".join(one.question.id for one in sheet.asked)
        mistakes.append(f"line {row.line}: there is no question {row['question']!r} (only {ids})")
        return None
    shown = asked.labelled(row["label"].upper())
    if shown is None:
        labels = ", ".join(one.label for one in asked.answers)
        mistakes.append(
            f"line {row.line}: {row['question']} has no answer {row['label']!r} (only {labels})"
        )
        return None
    return shown.answer


def _scores(row: _Row, mistakes: list[str]) -> dict[str, int]:
    scores = {}
    for rubric in RUBRICS:
        written = row[rubric]
        if not written:
            continue
        if len(written) == 1 and written.isdecimal() and LOWEST <= int(written) <= HIGHEST:
            scores[rubric] = int(written)
        else:
            mistakes.append(
                f"line {row.line}: {rubric} is {written!r}; write a whole number from {LOWEST} to "
                f"{HIGHEST}, or nothing"
            )
    return scores
