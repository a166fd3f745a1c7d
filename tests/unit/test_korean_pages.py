"""A Korean report has no English left but names, code, quoted messages and what users wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib.text import Text

from analysis.charts.languages import in_language
from analysis.pages import Page, render
from analysis.text.sentence import verbatim
from analysis.within import charts_in
from core.language.catalogue import catalogue_of
from core.language.choice import speaking
from tests.doubles.korean_words import Words, left, names_of
from tests.doubles.shared_kinds import ALL_KINDS, sections_of_kind, study_of_kind


def _drawn(kind: str) -> Iterator[str]:
    """The words on the charts of a run."""
    for chart in charts_in(sections_of_kind(kind)):
        figure = chart.draw()
        with speaking("ko"), in_language(figure):
            yield from (text.get_text() for text in figure.findobj(Text))


def test_each_column_behind_a_chart_has_its_own_korean_word() -> None:
    """One that is only recognised may be taken for a sentence: `kind of place` as `2 of 3`."""
    korean = catalogue_of("ko")
    names = {
        str(column).replace("_", " ")
        for kind in ALL_KINDS
        for chart in charts_in(sections_of_kind(kind))
        for column in chart.data.columns
    }
    assert [name for name in names if korean.of(name) is None and not is_unit(name)] == []


def is_unit(name: str) -> bool:
    """Whether a column is a known word in milliseconds."""
    word, _, unit = name.rpartition(" ")
    return unit == "ms" and (not word or catalogue_of("ko").of(word) is not None)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_korean_report_has_no_english_left(kind: str) -> None:
    study, sections = study_of_kind(kind), sections_of_kind(kind)
    drawings = {f"{chart.name}.ko": "" for chart in charts_in(sections)}
    page = Page(verbatim(study.run.title), study.run.run, sections, drawings, languages=("ko",))
    names = names_of(study.run)
    assert left(Words(render(page, "html")).texts, names) == {}
    assert left(_drawn(kind), names) == {}
