"""Facts of all nodes in, findings about each out. Nothing here does anything to a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.doctor.checks import cuda, gpu, machine, network, pythons, resources, wsl
from experiments.doctor.finding import Answer, Diagnosis, Finding, Verdict


def judge(answers: Sequence[Answer]) -> list[Diagnosis]:
    """What is to be said about each node, in order."""
    return [Diagnosis(answer, list(_findings(answer, answers))) for answer in answers]


def worst(diagnoses: Sequence[Diagnosis]) -> Verdict:
    """The worst verdict of all."""
    for verdict in (Verdict.PROBLEM, Verdict.WARNING):
        if any(diagnosis.count(verdict) for diagnosis in diagnoses):
            return verdict
    return Verdict.OK


def _findings(answer: Answer, answers: Sequence[Answer]) -> Iterator[Finding]:
    if answer.silence is not None:
        yield answer.silence
    if answer.facts is None:
        return
    facts = answer.facts
    yield from machine.check(facts)
    yield from wsl.check(answer, facts)
    yield from gpu.check(facts)
    yield from cuda.check(facts)
    yield from pythons.check(facts)
    yield from network.check(answer, facts, [other for other in answers if other is not answer])
    yield from resources.check(answer, facts)
