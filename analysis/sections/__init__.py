"""The sections of a report, a module a subject, in the order in which a sceptic asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from analysis.blocks import Section
from analysis.sections import (
    additions,
    agreement,
    answers,
    cells,
    energy,
    head,
    links,
    provenance,
    published,
    ratings,
    speed,
    stability,
    tuning,
)
from analysis.study import Study

SUBJECTS: tuple[Callable[[Study], Iterator[Section]], ...] = (
    head.sections,
    tuning.sections,
    answers.sections,
    ratings.sections,
    additions.sections,
    speed.decoding,
    speed.scaling,
    speed.time,
    links.sections,
    speed.prompt,
    agreement.sections,
    energy.sections,
    stability.sections,
    cells.sections,
    published.sections,
    provenance.sections,
)
"""What makes the sections, in the order of the page. Each makes those that the run has."""


def sections_of(study: Study) -> Iterator[Section]:
    """Make the sections of a report; the first is the head of the page."""
    for subject in SUBJECTS:
        yield from subject(study)
