"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from experiments.doctor.facts import Facts
from experiments.fleet.cluster import Backend


class Severity(StrEnum):
    """How bad it is: a problem keeps something from working, a warning makes it slow or unsure."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is about, such as `driver`.
        sentence: what was found.
        remedy: what to do; empty when nothing has to be done.
    """

    subject: str
    verdict: Severity
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an engine's unit on a node can compute on its GPU.

    Attributes:
        what: the engine, or which part of it was tried.
        device: name of the GPU that computed; None if none did.
        is_software: whether it is software, which the processor runs.
        reason: why none did, a sentence.
    """

    what: str
    backend: Backend
    device: str | None = None
    is_software: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node reported, or why it did not.

    Attributes:
        address: where SSH connects to.
        engine_address: by which engines of other nodes reach it.
        port: of its SSH server.
        become_method: how Ansible becomes root there, and with which program, if that is set.
        is_root: whether it is the cluster's root; None where that is unknown.
        noise: the first line that its login shell printed by itself; empty if none.
        offset_s: its clock minus the controller's, in seconds, known to `offset_error_s`.
        silence: the finding when it sent nothing.
        herd_gpu: how the inventory says that engines use its GPU; None for not at all.
        proofs: what the engines that were installed for a GPU can do.
    """

    node: str
    address: str
    engine_address: str
    port: int = 22
    become_method: str = "sudo"
    become_exe: str | None = None
    is_root: bool | None = None
    noise: str = ""
    facts: Facts | None = None
    offset_s: float = 0.0
    offset_error_s: float = 0.0
    silence: Finding | None = None
    herd_gpu: Backend | None = None
    proofs: Sequence[Proof] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A node and all findings about it."""

    answer: NodeAnswer
    findings: Sequence[Finding]

    def count(self, verdict: Severity) -> int:
        """How many findings have that verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)


def ok(subject: str, sentence: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, Severity.OK, sentence)


def warning(subject: str, sentence: str, remedy: str) -> Finding:
    """Something that makes it slow or unsure."""
    return Finding(subject, Severity.WARNING, sentence, remedy)


def problem(subject: str, sentence: str, remedy: str) -> Finding:
    """Something that keeps it from working."""
    return Finding(subject, Severity.PROBLEM, sentence, remedy)
