"""Every cell, every comparison, and what did not work."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.answers.accuracy import p_in_words
from analysis.answers.numbers import cell_frame
from analysis.blocks import (
    Block,
    Bullets,
    Cited,
    File,
    Folded,
    Part,
    Prose,
    Section,
    Tabled,
    cited,
)
from analysis.cells.family import Family
from analysis.cells.tabulate import Table, as_frame, cell_table, failure_table, flag_table, table
from analysis.statistics.stats import FEWEST, Ratio
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import NOTHING, ratio

ALL_CELLS = 600
"""Rows of the table of cells that are shown."""
MEDIANS = (
    "Medians over trials with their exact intervals of order statistics, which cover 95 % or more."
)
RANGES = "Medians over trials; below six trials the range is shown, with what it covers."
BOTH = (
    "Medians over trials with their exact intervals of order statistics, which cover 95 % or more; "
    "below six trials the range is shown, with what it covers."
)
COLUMN_NOTES = {
    "Speed-up (95 %)": (
        "Speed-ups are geometric means over blocks with Student's 95 % interval (below six blocks, "
        "the range)."
    ),
    "Range": "The range is from the smallest to the largest trial.",
    "CV": "CV is the standard deviation over the mean.",
    "Efficiency": "Efficiency is the speed-up over how many times the baseline's nodes.",
    "Karp-Flatt": (
        "Karp-Flatt is the share of the work that cannot be split, if that alone explained the "
        "speed-up: if it rises with the nodes, overhead grows with them. It is left out outside 0 "
        "to 1."
    ),
}
"""How to read a column of the table of cells."""
VERDICTS = (
    "More is better in every comparison: times are compared as speeds. The verdict is about the "
    "numerator. docs/statistics.md has the rules."
)
LOGS = "Every failed, invalid or unavailable trial. The logs of all nodes are in the run's folder."
ALL_WELL = "No attempt failed and no cell was unavailable."
NOT_BEGUN = "No attempt has been made yet."


def sections(study: Study) -> Iterator[Section]:
    """Make the section of all cells, and that of what did not work."""
    made = cell_table(study.all_series, study.scalings)
    file = File("cells", cell_frame(study.all_series, study.scalings))
    title = say("Every cell")
    shown = Tabled(title, made, tuple(_notes(study, made)), file, ALL_CELLS, is_sortable=True)
    comparisons = File("comparisons", study.family.frame())
    told = _comparisons(study.family, comparisons)
    blocks: tuple[Block, ...] = (shown, *told, *_cited(study, made))
    yield Section("cells", title, blocks, title, (comparisons,))
    yield Section(
        "failures", say("What did not work"), tuple(_failures(study)), say("What did not work")
    )


def _cited(study: Study, made: Table) -> tuple[Cited, ...]:
    rows = study.family.rows
    has_medians = any("median" in column for column in made.columns)
    often = [cell for cell in study.cells if cell.is_measured and cell.counts["done"] >= FEWEST]
    is_paired = any(row.ratio is not None and row.ratio.has_interval for row in rows)
    is_tested = any(row.p_adjusted is not None for row in rows)
    is_flipped = any(row.is_tried and row.pair.logs for row in rows)
    return cited(
        ("Interval of a median", "david2003") if often and has_medians else None,
        ("Karp-Flatt", "karp1990") if "Karp-Flatt" in made.columns else None,
        ("Ratios by block", "student1908") if is_paired else None,
        ("Sign-flip test", "pitman1937") if is_flipped else None,
        ("Correction for several comparisons", "holm1979") if is_tested else None,
    )


def _notes(study: Study, made: Table) -> Iterator[Sentence]:
    trials = [cell.counts["done"] for cell in study.cells if cell.is_measured]
    if trials and any("median" in column for column in made.columns):
        many = [n >= FEWEST for n in trials]
        yield say(MEDIANS if all(many) else BOTH if any(many) else RANGES)
    for column, told in COLUMN_NOTES.items():
        if column in made.columns:
            yield say(told)


def _comparisons(family: Family, file: File) -> Iterator[Folded]:
    made = _comparison_table(family)
    if made is not None:
        notes = (family.in_words(), say(VERDICTS))
        summary = say("Every comparison: {comparisons}", comparisons=len(made.rows))
        yield Folded(summary, (Tabled("Every comparison", made, notes, file),))


def _comparison_table(family: Family) -> Table | None:
    rows = [
        [
            row.pair.what,
            row.pair.numerator.name,
            row.pair.denominator.name,
            str(row.pair.n),
            NOTHING if row.ratio is None else _ratio(row.ratio),
            NOTHING if row.p_adjusted is None else p_in_words(row.p_adjusted),
            str(row.finding),
        ]
        for row in family.rows
    ]
    columns = ("What", "Numerator", "Denominator", "n", "Ratio (95 %)", "p (Holm)", "Verdict")
    return table(columns, rows, columns[3:6]) if rows else None


def _ratio(found: Ratio) -> str:
    return f"{found.value:.2f}" if found.low is None else ratio(found, brief=True)


def _failures(study: Study) -> Iterator[Block]:
    tables = study.noise.tables if study.noise else study.tables
    attempts = tables.attempts
    of_all = study.noise.arms if study.noise else study.all_series
    failures = failure_table(of_all, tables.trials, attempts)
    if failures is not None:
        file = File("failures", as_frame(failures))
        yield Tabled("What did not work", failures, (say(LOGS),), file)
    else:
        yield Prose((say(NOT_BEGUN if attempts.empty else ALL_WELL),))
    flags = flag_table(of_all)
    if flags is not None:
        shown = Tabled("Log warnings", flags, file=File("flags", as_frame(flags)))
        yield Part("Log warnings", (shown,))
    if study.warnings:
        yield Part(say("Problems in the run's folder"), (Bullets(study.warnings),))
