"""The sections of a report, a module a subject, in the order in which a sceptic asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from analysis.blocks import Section
from analysis.sections import (
    additions,
    agreement,
    answers,
    cells,
    cost,
    divisions,
    documents,
    energy,
    head,
    laws,
    limits,
    links,
    machines,
    noise,
    parts,
    prompt_lengths,
    provenance,
    published,
    ratings,
    speed,
    stability,
    together,
    tuning,
    what_if,
)
from analysis.study import Study

SUBJECTS: tuple[Callable[[Study], Iterator[Section]], ...] = (
    head.sections,
    tuning.sections,
    answers.sections,
    ratings.sections,
    limits.sections,
    additions.sections,
    machines.sections,
    together.sections,
    divisions.sections,
    speed.decoding,
    speed.scaling,
    laws.sections,
    speed.time,
    cost.sections,
    what_if.sections,
    links.sections,
    speed.prompt,
    prompt_lengths.sections,
    agreement.sections,
    documents.sections,
    energy.sections,
    noise.sections,
    stability.sections,
    cells.sections,
    published.sections,
    provenance.sections,
)
"""What makes the sections, in the order of the page. Each makes those that the run has."""


OF_THE_WHOLE = (head.sections, tuning.sections, provenance.sections)
"""Those that a run with parts has once; of the others, each part has its own."""


def sections_of(study: Study) -> Iterator[Section]:
    """Make the sections of a report; the first is the head of the page."""
    if not study.parts:
        for subject in SUBJECTS:
            yield from subject(study)
        return
    yield from head.sections(study)
    yield from tuning.sections(study)
    for name, part in study.parts.items():
        yield from parts.sections(
            name, part, (subject for subject in SUBJECTS if subject not in OF_THE_WHOLE)
        )
    yield from provenance.sections(study)
