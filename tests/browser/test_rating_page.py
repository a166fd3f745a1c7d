"""Rating in a real browser: real keys, and what they mean on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collect.ratings import answer_hash, read_ratings
from experiments.rating.sheet import load_key
from tests.browser.chromium import CHROMIUM, Page, browsing
from tests.browser.started import Started, starting
from tests.doubles.asked_run import ENGINE, MODEL, make_asked_run

pytestmark = pytest.mark.browser

QUESTIONS = {"why": "Why is it slow?", "느린-노드": "왜 느립니까?"}
GIVEN = {
    1: [{"why": "<b>One</b> waits.", "느린-노드": "모두가 기다립니다."}],
    2: [{"why": "Nobody knows.", "느린-노드": "🦙"}],
}
SERVE = """
import sys; from pathlib import Path
from experiments.rating.rate import serve_page
serve_page(Path(sys.argv[1]), "김", lambda line: print(line, flush=True))
"""
SHOWN = "document.querySelectorAll('.answer').length"
TITLE = "document.title"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    return make_asked_run(tmp_path / "results", QUESTIONS, GIVEN)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browsing(tmp_path / "profile") as page:
        yield page


@pytest.fixture
def serve(run: Path) -> Iterator[Callable[[], Started]]:
    with starting(SERVE, run) as start:
        yield start


def test_two_answers_are_rated_by_keys_and_stored_at_once(
    run: Path, page: Page, serve: Callable[[], Started]
) -> None:
    served = serve()
    page.open(served.url)
    page.wait(f"{SHOWN} === 2")
    assert page.value("document.querySelector('h1').textContent") == "Why is it slow?"
    shown = page.value("[...document.querySelectorAll('.text')].map((one) => one.textContent)")

    page.press("Digit5", "Digit4", "Digit3", "Digit2")
    # A Korean keyboard in Hangul mode types another letter with the same key.
    page.press("KeyK", "ArrowUp", "ArrowDown", "KeyJ", typed="ㅓ")
    page.press("Digit1", "Digit2", "Digit3", "Digit4")
    page.press("KeyC")
    page.write("간단하고 좋다")
    page.press("Digit3", "KeyN")  # in a comment they are text
    page.press("Escape")
    page.press("KeyN")
    page.wait(f"{TITLE}.startsWith('2/4')")
    served.kill()

    first, second = read_ratings(run)["김"]
    assert first.answer == answer_hash(shown[0])
    assert list(first.scores.values()) == [5, 4, 3, 2]
    assert second.answer == answer_hash(shown[1])
    assert list(second.scores.values()) == [1, 2, 3, 4]
    assert second.comment.startswith("간단하고 좋다")
    assert page.value("document.querySelector('h1').textContent") == "왜 느립니까?"
    assert page.said == []


def test_after_a_kill_one_goes_on_where_one_stopped(
    run: Path, page: Page, serve: Callable[[], Started]
) -> None:
    served = serve()
    page.open(served.url)
    page.wait(f"{SHOWN} === 2")
    page.press(*["Digit4"] * 8)
    page.wait(f"{TITLE}.startsWith('2/4')")
    served.kill()

    again = serve()
    assert again.first == "김 has judged 2 of 4 answers."
    page.open(again.url)
    page.wait(f"{SHOWN} === 2")
    assert page.value("document.querySelector('h1').textContent") == "왜 느립니까?"
    page.press("KeyP")
    assert page.value("document.querySelectorAll('input:checked').length") == 8


def test_a_score_that_is_not_stored_is_said_so_and_kept_for_the_next_try(
    run: Path, page: Page, serve: Callable[[], Started]
) -> None:
    served = serve()
    page.open(served.url)
    page.wait(f"{SHOWN} === 2")
    served.kill()
    page.press("Digit4")
    page.wait("!document.getElementById('alarm').hidden")
    assert "is not stored" in page.value("document.getElementById('alarm').textContent")
    assert page.value("document.querySelector('.status').textContent") == "not stored yet"
    assert read_ratings(run) == {}


def test_the_page_shows_answers_as_text_and_names_no_system(
    run: Path, page: Page, serve: Callable[[], Started]
) -> None:
    served = serve()
    page.open(served.url)
    page.wait(f"{SHOWN} === 2")
    whole = page.value("document.documentElement.outerHTML")
    page.press("KeyN")
    whole += page.value("document.documentElement.outerHTML")
    served.kill()

    assert "&lt;b&gt;One&lt;/b&gt; waits." in whole
    assert "모두가 기다립니다." in whole
    key = load_key(run, "김")
    assert key is not None
    hidden = (ENGINE, MODEL, "stories15m", "cell000", run.name, "ask1", str(key.seed))
    assert [word for word in hidden if word in whole] == []
