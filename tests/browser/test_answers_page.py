"""The answers of several systems in a real browser: folded, searchable, side by side."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from analysis.report import compose
from collect.questions import Question
from tests.browser.test_report_page import CHROMIUM, WIDTHS, _with, browse
from tests.doubles.asked import API, Asked, make_asked

pytestmark = pytest.mark.browser

QUESTIONS = (
    Question(id="why", text="Why is it slow?", topic="the cluster"),
    Question(id="느림", text="왜 느립니까?", rubric="지연"),
    Question(id="long", text="Write at length."),
)
SEARCH = """<script>
  const all = [...document.querySelectorAll(".searched > details")];
  const state = () => all.map((one) => (one.hidden ? "-" : one.open ? "open" : "shut")).join(" ");
  const box = document.getElementById("search");
  const seen = [state()];
  for (const wanted of ["LATENCY", "지연", "nowhere", ""]) {
    box.value = wanted;
    box.dispatchEvent(new Event("input"));
    seen.push(`${state()} (${document.getElementById("found").textContent})`);
  }
  document.title = seen.join("; ");
</script>"""
SIDE_BY_SIDE = """<script>
  const question = document.querySelector(".searched > details");
  question.open = true;
  const boxes = [...question.querySelectorAll("article")].map((a) => a.getBoundingClientRect());
  document.title = new Set(boxes.map((box) => box.top)).size + " rows, " +
    new Set(boxes.map((box) => box.left)).size + " columns";
</script>"""
OPEN = """<script>
  for (const one of document.querySelectorAll("details")) one.open = true;
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    folder = tmp_path_factory.mktemp("answers")
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 8
    systems = [
        Asked("chatgpt", [["Because of latency.", "지연 때문입니다.", "No."]], API),
        Asked("llama-7b", [["The network.", "네트워크", long]]),
        Asked("petals", [["Hops.", "모르겠습니다.", "one\ntwo\nthree"]]),
    ]
    compose(*make_asked(QUESTIONS, systems), folder)
    return folder / "index.html"


def title(page: Path, addition: str, folder: Path, *flags: str) -> str:
    said = browse(_with(page, addition), folder, "--dump-dom", *flags)
    assert "CONSOLE" not in said.stderr
    found = re.search("<title>(.*?)</title>", said.stdout)
    assert found
    return found[1]


def test_questions_are_folded_and_a_search_opens_those_that_hold_the_words(
    page: Path, tmp_path: Path
) -> None:
    assert title(page, SEARCH, tmp_path).split("; ") == [
        "shut shut shut",
        "open - - (1 of 3)",
        "- open - (1 of 3)",
        "- - - (0 of 3)",
        "shut shut shut ()",
    ]


def test_answers_stand_side_by_side_on_a_screen_and_below_each_other_on_a_phone(
    page: Path, tmp_path: Path
) -> None:
    assert title(page, SIDE_BY_SIDE, tmp_path, "--window-size=1200,900") == "1 rows, 3 columns"
    assert title(page, SIDE_BY_SIDE, tmp_path, "--window-size=500,900") == "3 rows, 1 columns"


def test_unfolded_it_fits_a_phone_also_with_words_that_have_no_end(
    page: Path, tmp_path: Path
) -> None:
    width, of = title(page, OPEN + WIDTHS, tmp_path, "--window-size=500,900").split(" of ")
    assert int(width) <= int(of)
