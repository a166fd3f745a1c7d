"""Which machines: each alone, and the same machines with each as the root."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.blocks import Prose, Section
from analysis.cells.places import contests_of
from analysis.charted import charted
from analysis.charts.places import place_chart
from analysis.study import Study
from analysis.text.sentence import say, together
from analysis.text.wording import within
from analysis.verdict.places_text import place_sentences

TITLE, MENU = "Which machines", "Machines"


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that named machines and measured a speed on two places or more."""
    all_contests = contests_of(study.on_nodes, study.family)
    measured = [
        place
        for fleet in all_contests
        for places in (*(one.places for one in fleet.contests), fleet.places)
        for place in places
        if place.is_measured
    ]
    if len(measured) <= 1:  # nothing to put side by side
        return
    margin = within(study.family.margin)
    found = [together(place_sentences(fleet, margin)) for fleet in all_contests]
    prose = (Prose((told,)) for told in found if told)
    yield Section(
        "machines", say(TITLE), (*prose, *charted([place_chart(all_contests)])), say(MENU)
    )
