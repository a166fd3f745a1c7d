"""A page in two languages in a real browser: its switch, and the panel "What if" in Korean."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest

from analysis.blocks import Controls, Section
from analysis.pages import Page as Printed
from analysis.pages import render
from analysis.sections import sections_of
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import number
from analysis.what_if.answer import answer
from analysis.what_if.basis import usable
from analysis.what_if.supposed import Link, Supposed
from analysis.within import blocks_in, charts_in
from tests.browser.chromium import CHROMIUM, Page, browsing
from tests.doubles.korean_words import left, names_of
from tests.doubles.predicted_run import DLLAMA, LLAMA, MODEL, SMALL, predicted_study

pytestmark = pytest.mark.browser

PANEL = "document.getElementById('ko-what-if-panel')"
BOTH_FORMS = re.compile(r"\w\([은는이가을를과와으]\w?\)\w?")
ASKED = (
    Supposed(MODEL, 8, "q4_0"),
    Supposed(SMALL, 2, "q4_0", Link(mbit=2500)),
    Supposed(MODEL, 16, "q4_0"),
    Supposed(SMALL, 8, "q4_0", Link(mbit=100), latency=0.5, memory=2.0, processor=1.5),
)


@pytest.fixture(scope="module")
def study() -> Study:
    return predicted_study(engines=(DLLAMA, LLAMA), models=(MODEL, SMALL))


@pytest.fixture(scope="module")
def page(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    asks = [section for section in sections_of(study) if _has_panel(section)]
    top = Section("verdict", "Energy", ())
    title = say("{n} trials", n=3)
    sections = (top, *asks)
    drawings = {f"{one.name}{end}": "" for one in charts_in(sections) for end in ("", ".ko")}
    printed = Printed(title, "a-run", sections, drawings, languages=("en", "ko"))
    index = tmp_path_factory.mktemp("page") / "index.html"
    index.write_text(render(printed, "html"), encoding="utf-8")
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(index.as_uri())
        yield opened
        assert opened.said == []


def _has_panel(section: Section) -> bool:
    return any(isinstance(block, Controls) for block in blocks_in(section))


def shown(page: Page) -> dict[str, object]:
    """What a reader, with or without eyes, is given at the head of the page."""
    told: dict[str, object] = page.value(
        "({main: [...document.querySelectorAll('main')].filter((one) => !one.hidden)"
        ".map((one) => one.lang), language: document.documentElement.lang, title: document.title,"
        " run: document.querySelector('.run').textContent, h1: document.querySelector("
        "'main:not([hidden]) h1').textContent, theme: document.getElementById('theme').ariaLabel,"
        " pressed: [...document.querySelectorAll('#languages button')]"
        ".map((one) => one.ariaPressed), group: document.getElementById('languages').ariaLabel})"
    )
    return told


def switch(page: Page, code: str) -> None:
    page.value(f"document.querySelector('#languages button[lang={code}]').click()")


def test_the_switch_changes_all_that_a_reader_is_given(page: Page) -> None:
    switch(page, "ko")
    korean = shown(page)
    assert korean == {
        "main": ["ko"],
        "language": "ko",
        "title": "시행 3회 · a-run",
        "run": "llama-herd 시행 3회 · a-run",
        "h1": "에너지",
        "theme": "밝은 화면과 어두운 화면 전환",
        "pressed": ["false", "true"],
        "group": "언어",
    }
    switch(page, "en")
    assert shown(page) == {
        "main": ["en"],
        "language": "en",
        "title": "3 trials · a-run",
        "run": "llama-herd 3 trials · a-run",
        "h1": "Energy",
        "theme": "Switch between light and dark",
        "pressed": ["true", "false"],
        "group": "Language",
    }


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("engine", [DLLAMA, LLAMA])
def test_the_panel_says_in_korean_what_python_answers(
    page: Page, study: Study, engine: str, asked: Supposed
) -> None:
    switch(page, "ko")
    fields = {"fit": engine, "model": asked.model, "weights": asked.weights, "nodes": asked.nodes}
    fields |= {name: f"{getattr(asked, name):g}" for name in ("latency", "memory", "processor")}
    fields |= {"link": f"{asked.link.mbit:g}"} if asked.link else {}
    page.value(
        f"Object.entries({json.dumps(fields)}).forEach(([name, value]) => {{"
        "const field = document.getElementById(`ko-what-if-panel-${name}`); field.value = value;"
        "field.dispatchEvent(new Event(field.nodeName === 'SELECT' ? 'change' : 'input')); })"
    )
    said = str(page.value(f"{PANEL}.querySelector('.result').textContent"))
    [(basis, fit)] = [one for one in usable(study.bases) if one[0].engine == engine]
    one = answer(basis, fit, asked).prediction
    times = (one.total_ms, one.low_ms, one.high_ms, *one.terms.values()) if one else ()
    assert [number(value) for value in times if number(value) not in said] == []
    assert ("실행할 수 없습니다" in said) == (one is None)
    words = str(page.value(f"{PANEL}.innerText"))
    assert not BOTH_FORMS.search(words), words
    assert left([words], names_of(study.run)) == {}
