"""The answers of a run as plain text: the file that people mail around."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.answers.answers import AnsweredQuestion
from analysis.answers.comparison import Comparison, comparison_of
from analysis.answers.prices import cost_of_system, in_currency
from analysis.answers.systems import SystemAnswers
from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.text.wording import nodes, number, plural
from analysis.verdict.caveats import caveats_of
from collect.account import Account
from collect.arms import first_arms
from collect.run import RunManifest
from collect.tables import Tables, by_part, tables_of
from collect.workloads import Questions
from core.errors import HerdError
from core.foreign import visible

WIDTH = 78


def export_answers(run_folder: Path, file: Path) -> Path:
    """Write every question of a run with every system's answer, its time and tokens.

    Args:
        run_folder: `results/<run>`.
        file: to write; one that is there is replaced.

    Raises:
        HerdError: the run is damaged, asked no questions or has no answers, or the file cannot
            be written.
    """
    account = Account.read(run_folder)
    parts = by_part(*first_arms(account.manifest, tables_of(account)))
    texts = [text for part in parts.values() if (text := _text(*part)) is not None]
    if not texts:
        raise HerdError(
            f"Exporting the answers of {run_folder.name}: it has none. Answers come from runs of "
            "the workload `questions`; `fab report --run NAME --export FILE` takes another run."
        )
    try:
        text = visible("\n\n\n".join(texts))
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise HerdError(
            f"Writing the answers to {file}: {error.strerror or error}. Name a file in a folder "
            "that exists and where you may write."
        ) from None
    return file


def _text(run: RunManifest, tables: Tables) -> str | None:
    """All answers of a run, or of a part; None where there are none."""
    all_series = series_of(cell_results(run, tables.trials, tables.attempts))
    found = comparison_of(run, tables, all_series)
    if found is None:
        return None
    who = [_system(system, tables.answers) for system in found.systems]
    caveats = (*found.caveats, *caveats_of(all_series, is_lab=run.share_machine(run.nodes)))
    return "\n".join(_lines(run, found, who, caveats))


def _lines(
    run: RunManifest, found: Comparison, who: Sequence[str], caveats: Sequence[str]
) -> Iterator[str]:
    yield from (run.title, "=" * len(run.title), "")
    yield from _wrapped(_about(run, found))
    yield ""
    for system in who:
        yield from textwrap.wrap(f"* {system}", WIDTH, subsequent_indent="  ")
    for sentence in (*found.sentences, *caveats):
        yield from ("", *_wrapped(sentence))
    for position, asked in enumerate(found.asked, start=1):
        yield from ("", "", *_question(asked, f"{position} of {len(found.asked)}"))


def _about(run: RunManifest, found: Comparison) -> str:
    workload = run.workload
    limits = (
        f", each in at most {workload.max_tokens} tokens at temperature {workload.temperature:g}"
        if isinstance(workload, Questions)
        else ""
    )
    return (
        f"Run {run.run}: {plural(len(found.questions), 'question')}, "
        f"{plural(len(found.systems), 'system')}{limits}. The answers are unchanged."
    )


def _system(system: SystemAnswers, answers: pd.DataFrame) -> str:
    """Describe a system, because the reader of the file has no `systems.yml`."""
    params = system.cell.record.params
    if system.api is None:
        where = f"({params['weights']}) with {system.cell.engine} on {nodes(system.cell.nodes)}"
    else:
        where = f"at {system.api.url}"
    bill = cost_of_system(system, answers)
    cost = ""
    if bill is not None:
        least = "" if bill.is_whole else "at least "
        cost = f"; its answers cost {least}{in_currency(bill.total, bill.price)}"
    energy = system.cell.estimate("energy_j_per_answer")
    joules = f"; {number(energy.value)} J an answer by what its nodes count" if energy else ""
    return f"{system.name}: {params['model']} {where}, timed {system.path}{cost}{joules}"


def _question(asked: AnsweredQuestion, position: str) -> Iterator[str]:
    question = asked.question
    topic = f" ({question.topic})" if question.topic else ""
    head = f"Question {position}: {question.id}{topic}"
    yield from (head, "-" * len(head), *_wrapped(question.text))
    key = question.key
    if key is not None and key.kind != "regex":  # a pattern tells a reader of mail nothing
        value = f"{key.value:g}" if isinstance(key.value, float) else key.value
        yield f"[right: {value}]"
    for card in asked.cards:
        mark = f" [{card.mark}]" if card.mark else ""
        yield from ("", f"* {card.system}{mark}", f"  ({', '.join(card.facts)})", "")
        yield textwrap.indent(card.text, "    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
