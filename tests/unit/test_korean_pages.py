"""A Korean report has no English left but names, code, quoted messages and what users wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib.text import Text

from analysis.charts.languages import in_language
from analysis.pages import Page, render
from analysis.text.sentence import verbatim
from analysis.within import charts_in
from core.language.choice import speaking
from tests.doubles.korean_words import Words, left, names_of
from tests.doubles.shared_kinds import ALL_KINDS, sections_of_kind, study_of_kind


def _drawn(kind: str) -> Iterator[str]:
    """The words on the charts of a run."""
    for chart in charts_in(sections_of_kind(kind)):
        figure = chart.draw()
        with speaking("ko"), in_language(figure):
            yield from (text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_korean_report_has_no_english_left(kind: str) -> None:
    study, sections = study_of_kind(kind), sections_of_kind(kind)
    drawings = {f"{chart.name}.ko": "" for chart in charts_in(sections)}
    page = Page(verbatim(study.run.title), study.run.run, sections, drawings, languages=("ko",))
    names = names_of(study.run)
    assert left(Words(render(page, "html")).texts, names) == {}
    assert left(_drawn(kind), names) == {}
