"""Findings for people, one screen a node, and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.doctor.finding import Diagnosis, Finding, Verdict
from experiments.doctor.judge import worst
from models.terminal import shown

MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.WARNING: ("warning", "yellow"),
    Verdict.PROBLEM: ("PROBLEM", "bold red"),
}


def show(diagnoses: Sequence[Diagnosis], console: Console) -> None:
    """Print a table for each node and a last line that counts."""
    for diagnosis in diagnoses:
        answer = diagnosis.answer
        console.print(shown(f"{answer.node}  {answer.address}", style="bold"))
        console.print(_table(diagnosis.findings))
        console.print()
    problems, warnings = (
        sum(diagnosis.count(verdict) for diagnosis in diagnoses)
        for verdict in (Verdict.PROBLEM, Verdict.WARNING)
    )
    console.print(
        f"{_counted(len(diagnoses), 'node')}: {_counted(problems, 'problem')}, "
        f"{_counted(warnings, 'warning')}.",
        highlight=False,
    )


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    subject = ""
    for finding in findings:
        mark, style = MARKS[finding.verdict]
        words = shown(finding.sentence)
        if finding.remedy:
            words.append(shown(f"\n→ {finding.remedy}", style="italic"))
        named = "" if finding.subject == subject else finding.subject
        table.add_row(shown(mark, style=style), shown(named), words)
        subject = finding.subject
    return table


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """The worst verdict, and for each node its findings and the facts that they rest on."""
    return {"verdict": worst(diagnoses), "nodes": [_node(diagnosis) for diagnosis in diagnoses]}


def _node(diagnosis: Diagnosis) -> dict[str, Any]:
    answer = diagnosis.answer
    return {
        "node": answer.node,
        "address": answer.address,
        "engine_address": answer.engine_address,
        "clock_offset_s": answer.offset_s if answer.facts else None,
        "clock_offset_error_s": answer.offset_error_s if answer.facts else None,
        "findings": [dataclasses.asdict(finding) for finding in diagnosis.findings],
        "facts": answer.facts.model_dump(mode="json") if answer.facts else None,
    }
