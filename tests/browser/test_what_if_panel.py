"""The panel "What if" in a real browser: the numbers of Python, by keyboard, on any screen."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.report import compose
from analysis.study import Study, study_of
from analysis.text.wording import number
from analysis.what_if.answer import Predicted, answer
from analysis.what_if.basis import usable
from analysis.what_if.supposed import Link, Supposed
from tests.browser.chromium import CHROMIUM, Page, browsing
from tests.doubles.cost_run import cost_frames, waiting_less
from tests.doubles.paced_run import paced_frames
from tests.doubles.predicted_run import (
    DLLAMA,
    LLAMA,
    MODEL,
    SMALL,
    a_machine,
    predicted_frames,
    predicted_study,
)

pytestmark = pytest.mark.browser

TEXT = "document.querySelector('.result').textContent"
SHOWN = "document.activeElement.id"
ASKED = (
    Supposed(MODEL, 8, "q4_0"),
    Supposed(MODEL, 4, "f32"),
    Supposed(MODEL, 16, "q4_0"),
    Supposed(MODEL, 3, "q4_0"),
    Supposed(SMALL, 2, "q4_0", Link(mbit=2500)),
    Supposed(SMALL, 8, "q4_0", Link(mbit=100), latency=0.5, memory=2.0, processor=1.5),
    Supposed(SMALL, 1, "f32", memory=0.25),
)


@pytest.fixture(scope="module")
def frames() -> Study:
    return predicted_study(engines=(DLLAMA, LLAMA), models=(MODEL, SMALL))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    folder = tmp_path_factory.mktemp("what-if")
    compose(*predicted_frames(a_machine(), engines=(DLLAMA, LLAMA), models=(MODEL, SMALL)), folder)
    return folder / "index.html"


@pytest.fixture(scope="module")
def page(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(index.as_uri())
        yield opened
        assert opened.said == []


def set_to(page: Page, name: str, value: object) -> None:
    kind = "change" if name in ("fit", "model", "weights", "root") else "input"
    page.value(
        f"(() => {{ const field = document.getElementById('what-if-panel-{name}');"
        f"field.value = {json.dumps(str(value))};"
        f"field.dispatchEvent(new Event('{kind}')); }})()"
    )


def ask(page: Page, engine: str, asked: Supposed) -> str:
    """Put a question into the fields, and return what the panel says."""
    set_to(page, "fit", engine)
    set_to(page, "model", asked.model)
    set_to(page, "weights", asked.weights)
    set_to(page, "nodes", asked.nodes)
    if asked.link is not None:
        set_to(page, "link", f"{asked.link.mbit:g}")
    for name in ("latency", "memory", "processor"):
        set_to(page, name, f"{getattr(asked, name):g}")
    return str(page.value(TEXT))


def expected(found: Predicted) -> list[str]:
    """What Python answers, in the words of the panel."""
    one = found.prediction
    if one is None:
        return [f"This cannot run: {found.reason}."]
    assert found.times is not None
    ms, low, high = map(number, (one.total_ms, one.low_ms, one.high_ms))
    times, least, most = map(number, found.times)
    said = [
        f"{ms} ms per token (90 % interval: {low} to {high})",
        f"{number(one.tokens_per_s)} tokens/s ({number(1000 / one.high_ms)} to ",
        f"{times} times as fast ({least} to {most}) as the formula has the fastest measured cell",
        *(f"{number(value)} ms" for value in one.terms.values()),
    ]
    if one.formula_ms is not None:
        ms, low, high = map(number, one.formula_ms)
        said.append(f"The formula alone gives {ms} ms ({low} to {high}), partly")
    if one.extrapolates:
        return [*said, f"Extrapolation: {'; '.join(one.extrapolates)}."]
    return said


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("engine", [DLLAMA, LLAMA])
def test_the_panel_says_what_python_answers(
    page: Page, frames: Study, engine: str, asked: Supposed
) -> None:
    [(basis, fit)] = [one for one in usable(frames.bases) if one[0].engine == engine]
    said = ask(page, engine, asked)
    for words in expected(answer(basis, fit, asked)):
        assert words in said
    is_extrapolated = page.value("document.querySelector('.result').className")
    assert ("extrapolated" in is_extrapolated) == ("Extrapolation" in said)


def test_the_panel_stops_where_python_does_at_all_that_the_engine_waits(tmp_path: Path) -> None:
    run, tables = cost_frames(a_machine(rate=0.9), models=(SMALL, MODEL), distort=waiting_less)
    (tmp_path / "report").mkdir()
    compose(run, tables, tmp_path / "report")
    [(basis, fit)] = usable(study_of(run, tables).bases)
    held = 0
    with browsing(tmp_path / "profile") as page:
        page.open((tmp_path / "report" / "index.html").as_uri())
        for model, nodes, link, latency, memory in itertools.product(
            (SMALL, MODEL), (1, 4, 8), (500, 1000, 20000), (0.1, 1.0), (0.5, 1.0, 4.0)
        ):
            asked = Supposed(model, nodes, "q4_0", Link(mbit=link), None, latency, memory)
            found = answer(basis, fit, asked)
            said = ask(page, DLLAMA, asked)
            for words in expected(found):
                assert words in said
            assert found.prediction is not None
            assert ("formula alone" in said) == (found.prediction.formula_ms is not None)
            held += "formula alone" in said
    assert held >= 20


def test_it_can_be_used_by_keyboard_alone(page: Page) -> None:
    page.reload()
    page.wait(f"{TEXT}.includes('ms per token')")
    page.value("document.getElementById('theme').focus()")
    seen = []
    for _ in range(400):
        page.press("Tab")
        name = str(page.value(SHOWN)).removeprefix("what-if-panel-")
        seen.append(name)
        if name == "processor-slider":
            break
        if name == "model":
            page.press("ArrowDown")
        if name == "nodes":
            page.value("document.activeElement.select()")
            page.write("4")
        if name == "memory-slider":
            page.press("ArrowRight")
    fields = ["fit", "model", "weights", "nodes", "nodes-slider", "link", "link-slider"]
    assert [name for name in seen if name in fields] == fields
    assert page.value("document.getElementById('what-if-panel-model').value") == SMALL
    assert float(page.value("document.getElementById('what-if-panel-memory').value")) > 1
    said = page.value(TEXT)
    assert re.match(r"\d[\d.]* ms per token", said)
    assert "machines of another speed were not measured" in said
    page.press("Tab")
    page.press("Enter")
    assert "Extrapolation" not in page.value(TEXT)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("nodes", "0", "Nodes: it must be a number from 1 to 16."),
        ("nodes", "2.5", "2.5 is not offered here"),
        ("memory", "9", "it must be a number from 0.25 to 4."),
        ("link", "", "Links, Mbit/s: it must be a number"),
    ],
)
def test_a_wrong_number_is_named_and_nothing_is_predicted(
    page: Page, name: str, value: str, words: str
) -> None:
    ask(page, DLLAMA, ASKED[0])
    set_to(page, name, value)
    said = page.value(TEXT)
    assert words in said
    assert "ms per token" not in said
    set_to(page, "model", SMALL)


def test_who_cannot_see_it_hears_labels_and_results(page: Page) -> None:
    ask(page, DLLAMA, ASKED[0])
    unlabelled = page.value(
        "[...document.querySelectorAll('.what-if select, .what-if input')].filter((field) =>"
        " !field.labels.length && !field.ariaLabel).length"
    )
    assert unlabelled == 0
    assert page.value("document.querySelector('.result').ariaLive") == "polite"


@pytest.mark.parametrize("width", [360, 500, 1200])
def test_it_fits_the_screen(index: Path, tmp_path: Path, width: int) -> None:
    with browsing(tmp_path / "profile", f"--window-size={width},900") as opened:
        opened.open(index.as_uri())
        wide = opened.value(
            "Math.max(...[...document.querySelectorAll('.what-if, .what-if *')].map((one) =>"
            " one.getBoundingClientRect().right)) - innerWidth"
        )
        assert wide <= 0


def test_the_panel_begins_with_the_machines_of_the_fastest_cell(tmp_path: Path) -> None:
    run, tables = paced_frames((DLLAMA,))
    (tmp_path / "report").mkdir()
    compose(run, tables, tmp_path / "report")
    [(basis, fit)] = usable(study_of(run, tables).bases)
    found = answer(basis, fit, Supposed()).prediction
    assert found is not None
    with browsing(tmp_path / "profile") as page:
        page.open((tmp_path / "report" / "index.html").as_uri())
        assert page.value("document.getElementById('what-if-panel-root').value") == "desk"
        told = str(page.value(TEXT))
        assert told.startswith(f"{number(found.total_ms)} ms per token")
        assert "one node (desk) with q4_0 weights" in told
        set_to(page, "root", "pi3")
        slow = answer(basis, fit, Supposed(root="pi3")).prediction
        assert slow is not None
        assert str(page.value(TEXT)).startswith(f"{number(slow.total_ms)} ms per token")
