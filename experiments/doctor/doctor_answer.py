"""Findings as `fab doctor --json` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from core.json_answer import JsonAnswer, JsonPart
from experiments.doctor.diagnose import worst
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Diagnosis, Finding, Severity


class ExaminedNode(JsonPart):
    """A node.

    Attributes:
        node: its name.
        address: where SSH connects to.
        engine_address: by which engines of other nodes reach it.
        clock_offset_s: its clock minus this machine's, in seconds; null if it did not answer.
        clock_offset_error_s: by how much that may be wrong.
        facts: what the findings are based on; null if it did not answer.
    """

    node: str
    address: str
    engine_address: str
    clock_offset_s: float | None
    clock_offset_error_s: float | None
    findings: tuple[Finding, ...]
    facts: Facts | None


class DoctorAnswer(JsonAnswer):
    """Findings about all nodes.

    Attributes:
        verdict: the worst of all findings.
    """

    verdict: Severity
    nodes: tuple[ExaminedNode, ...]


def doctor_answer(diagnoses: Sequence[Diagnosis]) -> DoctorAnswer:
    """Answer for nodes that were examined."""
    return DoctorAnswer(verdict=worst(diagnoses), nodes=tuple(map(_node, diagnoses)))


def _node(diagnosis: Diagnosis) -> ExaminedNode:
    answer = diagnosis.answer
    return ExaminedNode(
        node=answer.node,
        address=answer.address,
        engine_address=answer.engine_address,
        clock_offset_s=answer.offset_s if answer.facts else None,
        clock_offset_error_s=answer.offset_error_s if answer.facts else None,
        findings=tuple(diagnosis.findings),
        facts=answer.facts,
    )
