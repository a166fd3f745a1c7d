"""What each set of machines brings or costs: a GPU alone, with more machines, and without them."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.blocks import Prose, Section
from analysis.charted import charted
from analysis.charts.additions import addition_chart
from analysis.study import Study
from analysis.text.sentence import say, together
from analysis.text.wording import within
from analysis.verdict.additions_text import addition_sentences

TITLE, MENU = "What each addition brings or costs", "Additions"


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that has GPUs, groups of machines or machines of several kinds."""
    if not study.setups:
        return
    margin = within(study.family.margin)
    found = [together(addition_sentences(setup, margin)) for setup in study.setups]
    blocks = (*(Prose((told,)) for told in found if told), *charted([addition_chart(study.setups)]))
    yield Section("additions", say(TITLE), blocks, say(MENU))
