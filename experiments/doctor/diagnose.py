"""Facts of all nodes in, findings about each out. Nothing here does anything to a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from core.foreign import one_line
from experiments.doctor.checks import (
    condition,
    cuda,
    gpu,
    gpu_use,
    machine,
    network,
    pythons,
    resources,
    root,
    twins,
    wsl,
)
from experiments.doctor.checks.advice import Advice
from experiments.doctor.finding import Diagnosis, Finding, NodeAnswer, Severity, problem, warning
from experiments.nodes.told import unread

MOST_FINDINGS = 1000
"""Of a node: 200 environments have less."""
LONGEST_SENTENCE = 2000
"""Characters; of remedies four times as many, commands for many nodes are long."""
TOO_LONG = "Examine that machine carefully: it may be compromised."


def diagnose(answers: Sequence[NodeAnswer]) -> list[Diagnosis]:
    """What is to be said about each node, in order; of several the first is the root if none is."""
    if len(answers) > 1 and all(answer.is_root is None for answer in answers):
        answers = [replace(answers[0], is_root=True), *answers[1:]]
    return [Diagnosis(answer, _bounded(_findings(answer, answers))) for answer in answers]


def worst(diagnoses: Sequence[Diagnosis]) -> Severity:
    """The worst verdict of all."""
    for verdict in (Severity.PROBLEM, Severity.WARNING):
        if any(diagnosis.count(verdict) for diagnosis in diagnoses):
            return verdict
    return Severity.OK


def _findings(answer: NodeAnswer, answers: Sequence[NodeAnswer]) -> Iterator[Finding]:
    if answer.silence is not None:
        yield answer.silence
    if answer.noise:
        yield warning(
            "connection",
            f"Its login shell prints text in non-interactive sessions (`{answer.noise}`), which "
            "breaks copying with sftp, scp and rsync.",
            "In the start-up file that prints it (~/.bashrc, ~/.zshenv, ~/.cshrc), print only "
            "in interactive sessions: [ -t 1 ] && echo …",
        )
    if answer.facts is None:
        return
    facts = answer.facts
    advice = Advice.on(answer, facts)
    others = [other for other in answers if other is not answer]
    yield from _checked("machine", lambda: machine.check(facts))
    yield from _checked("machine", lambda: twins.check(answer, facts, others))
    yield from _checked("state", lambda: condition.check(answer, facts))
    yield from _checked("root", lambda: root.check(answer, facts))
    yield from _checked("wsl", lambda: wsl.check(answer, facts, others))
    yield from _checked("gpu", lambda: gpu.check(facts, advice))
    yield from _checked("gpu", lambda: gpu_use.check(answer, facts, advice))
    yield from _checked("cuda", lambda: cuda.check(facts, advice))
    yield from _checked("python", lambda: pythons.check(facts, advice))
    yield from _checked("network", lambda: network.check(answer, facts, others))
    yield from _checked("resources", lambda: resources.check(answer, facts))


def _bounded(findings: Iterator[Finding]) -> list[Finding]:
    """So many findings as can be read, so long: a node may send lists without an end."""
    kept = [
        replace(
            finding,
            sentence=one_line(finding.sentence, LONGEST_SENTENCE),
            remedy=finding.remedy if len(finding.remedy) <= 4 * LONGEST_SENTENCE else TOO_LONG,
        )
        for finding in islice(findings, MOST_FINDINGS)
    ]
    if next(findings, None) is not None:
        more = "It reported more than is plausible; the rest is left out."
        kept.append(problem("connection", more, TOO_LONG))
    return kept


def _checked(subject: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return what a check finds; an unforeseen answer of a node is also a finding."""
    found: list[Finding] = []
    try:
        found += islice(check(), MOST_FINDINGS + 1)
    except Exception as error:  # noqa: BLE001 - what others say may raise anything
        found.append(problem(subject, f"{unread('Its answer', error)}.", "Please report this."))
    return found
