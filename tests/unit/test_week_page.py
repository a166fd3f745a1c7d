"""The page of a week: what is on it, which runs, and that nothing of a person is replaced."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from analysis.blocks import Tabled
from analysis.reading import study_in
from analysis.text.wording import NOTHING
from analysis.week import runs_of_week as of_week
from analysis.week import write
from analysis.week.page import week_sections
from analysis.week.recorded import RecordedLine, run_line
from analysis.week.runs_of_week import MOST_CHARTS, runs_in_week, runs_of_week
from analysis.week.write import write_week_page
from analysis.within import blocks_in, charts_in, files_in
from collect.diary.dates import Week
from collect.diary.keep import RunLink
from collect.diary.log import log_of
from collect.diary.week import title_of_log, week_of_log
from collect.load import load_run
from core.errors import HerdError
from core.language import misses
from core.language.extract import Extracted, texts_of
from core.paths import PROJECT_FOLDER
from tests.doubles.run_folder import make_run
from verbs import diary

WEEK = Week(2026, 48)
TODAY = date(2026, 11, 29)
LOG = """\
# 연구 노트

## 목표

### 주간

- [x] #1 Measure eight nodes (2026-W48)
- [ ] #2 Write <script>alert(1)</script> (2026-W48, 2026-11-27까지)
- [ ] #3 Old (2026-W46)
- [ ] #4 Next (2026-W49)

### 최종

- [ ] #5 Thesis (2026-12-18까지)

## 질문

- [ ] #6 Why?

## 결과

- 2026-11-24 Faster ([scaling-b](../x/index.html))
- no date

## 일지

### 2026-11-24

- Set up **pi3**
  - again

```
<b>code</b>
```
"""
TRANSLATED = {
    "Goals of the week": "이번 주 목표",
    "Left from earlier weeks": "이전 주에서 남은 목표",
    "What was done": "한 일",
    "Tuesday": "화요일",
    "overdue": "기한 지남",
    "final": "최종",
    "unanswered": "미해결",
    "Open questions": "열린 질문",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for name in ("scaling-a", "scaling-b"):
        make_run(folder, name=name, nodes=(1, 2), repeats=2)
    return folder


def sections(log: str, folders: list[Path]) -> list[write.Section]:
    return list(week_sections(week_of_log(log_of(log), WEEK), runs_of_week(folders), TODAY))


@pytest.fixture(scope="module")
def study(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    made = sections(LOG, sorted(results.iterdir()))
    title = title_of_log(log_of(LOG))
    page = write_week_page(folder, title, str(WEEK), made, lambda _line: None)
    assert page == folder / "weeks" / "2026-W48.html"
    return folder


def text_of(html: str) -> str:
    without = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without).split())


def test_both_pages_have_all_of_the_week(study: Path) -> None:
    html = (study / "weeks/2026-W48.html").read_text()
    page, markdown = text_of(html), (study / "weeks/2026-W48.md").read_text()
    for words in (
        "Week 2026-W48, 2026-11-23 to 2026-11-29",
        "연구 노트",
        "#1 Measure eight nodes",
        "overdue",
        "Left from earlier weeks",
        "#5 Thesis",
        "2026-11-24 (Tuesday)",
        "Set up pi3",
        "Faster",
        "1 finding of the log",
        "Run: Scaling over nodes",
        "#6 Why?",
        "#4 Next",
    ):
        assert words in page, words
        assert words.replace("#", "").split()[0] in markdown, words
    assert "1 of 2" in page
    assert "<script>alert" not in html
    assert "<b>code" not in html


def test_a_finding_names_all_its_runs_and_nothing_that_is_none(results: Path) -> None:
    link = "[{0}](../analysis/reports/{0}/index.html)"
    told = ", ".join(map(link.format, ("scaling-a", "scaling-b", "gone")))
    log = (
        f"## Findings\n- 2026-11-24 Faster ({told})\n"
        "- 2026-11-25 Slower without `net_turbo`, see [notes](https://example.org/notes.html)\n"
    )
    found = next(
        one for one in sections(log, sorted(results.iterdir())) if one.anchor == "findings"
    )
    (table,) = [block.table for block in found.blocks if isinstance(block, Tabled)]
    assert [(row[-1].text, row[-1].anchor) for row in table.rows] == [
        ("scaling-a, scaling-b, gone", "run-1"),
        (NOTHING, ""),
    ]


def test_the_page_is_one_file_with_the_charts_of_each_run(study: Path) -> None:
    html = (study / "weeks/2026-W48.html").read_text()
    for place in (1, 2):
        names = set(re.findall(rf'<figure class="chart" id="(run-{place}-[\w-]+)"', html))
        assert 1 < len(names) <= MOST_CHARTS
        assert f"run-{place}-decode-rate" in names
    assert not re.findall(r'(?:src|xlink:href)="(?!data:|#)[^"]+"', html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    assert '<a href="#run-2">scaling-b</a>' in html
    for target in set(re.findall(r'href="#([^"]+)"', html)):
        assert target in ids, target


def test_every_file_that_the_pages_name_is_there(study: Path) -> None:
    weeks = study / "weeks"
    markdown = (weeks / "2026-W48.md").read_text()
    named = re.findall(r"\]\((2026-W48/[^)]+)\)", markdown)
    named += re.findall(r'href="(2026-W48/[^"]+)"', (weeks / "2026-W48.html").read_text())
    assert len(named) > 10
    assert all((weeks / name).is_file() for name in named)


def test_an_empty_week_says_so(results: Path) -> None:
    made = sections("# Log\n", [])
    told = " ".join(
        sentence
        for section in made
        for block in blocks_in(section)
        for sentence in getattr(block, "sentences", ())
    )
    for words in ("No goal was set", "Nothing was written", "No run", "No finding", "No question"):
        assert words in told
    assert not charts_in(made)
    assert not files_in(made)


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_there(
    results: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "scaling-a"
    shutil.copytree(results / "scaling-a", broken)
    (broken / "run.json").write_text("{")
    made = sections(LOG, [broken, results / "scaling-b"])
    (block,) = next(section for section in made if section.anchor == "run-1").blocks
    assert "The run scaling-a cannot be read" in block.sentences[0]
    assert any(chart.name == "run-2-decode-rate" for chart in charts_in(made))


@pytest.mark.parametrize(("count", "charts"), [(2, 4), (5, 2), (9, 1)])
def test_a_week_of_many_runs_has_fewer_charts_of_each(
    results: Path, count: int, charts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_in(results / "scaling-a")
    monkeypatch.setattr(of_week, "study_in", lambda _folder: study)
    found = runs_of_week([results / "scaling-a"] * count)
    assert [len(charts_in([one.section])) for one in found] == [charts] * count


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_runs_belong_to_the_weeks_in_which_they_were_measured(
    results: Path, zone: pytest.MonkeyPatch
) -> None:
    folder = results / "scaling-a"
    run = load_run(folder)  # created on Monday, 23 November 2026, 02:13 UTC
    for name, week in {"Asia/Seoul": 48, "UTC": 48, "America/New_York": 47}.items():
        zone.setenv("TZ", name)
        time.tzset()
        assert runs_in_week([(folder, run)], Week(2026, week)) == [folder]
        assert runs_in_week([(folder, run)], Week(2026, week - 1)) == []
        assert runs_in_week([(folder, run)], Week(2026, week + 1)) == []
    earlier = run.model_copy(update={"created_at": run.created_at - 8 * 86_400})
    zone.setenv("TZ", "UTC")
    time.tzset()
    for week in (46, 47, 48):  # begun in the first, and its attempts are of the last
        assert runs_in_week([(folder, earlier)], Week(2026, week)) == [folder]
    assert runs_in_week([(folder, earlier)], Week(2026, 49)) == []


def test_a_page_that_a_person_changed_is_not_replaced(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    made = sections(LOG, [])
    page = copy / "weeks/2026-W48.md"
    own = copy / "weeks/2026-W48/photo.jpg"
    own.write_bytes(b"mine")
    page.write_text(page.read_text() + "\nA remark by hand.\n")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(HerdError, match=r"2026-W48.md was changed.*Rename it"):
        write_week_page(copy, "Log", str(WEEK), made, lambda _line: None)
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    page.rename(page.with_name("mine.md"))
    write_week_page(copy, "Log", str(WEEK), made, lambda _line: None)
    assert own.read_bytes() == b"mine"
    assert not list((copy / "weeks/2026-W48").glob("run-*"))
    (copy / "weeks/2026-W49.html").write_text("by hand")
    with pytest.raises(HerdError, match=r"2026-W49.html was changed, or not written by"):
        write_week_page(copy, "Log", "2026-W49", made, lambda _line: None)


@pytest.mark.parametrize("step", range(1, 6))
def test_a_kill_while_a_page_is_replaced_does_not_make_it_a_persons(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    made = sections(LOG.replace("Thesis", "Paper"), [])
    steps = 0
    replace = Path.replace

    def dying(path: Path, target: Path) -> Path:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        try:
            write_week_page(copy, "Log", str(WEEK), made, lambda _line: None)
        except KeyboardInterrupt:
            assert steps == step
    write_week_page(copy, "Log", str(WEEK), made, lambda _line: None)
    assert "Paper" in (copy / "weeks/2026-W48.md").read_text()
    assert not list((copy / "weeks").glob(".week-*"))


def test_a_page_in_both_languages_has_both_and_nothing_is_left_in_english(
    results: Path, tmp_path: Path
) -> None:
    made = sections(LOG, [results / "scaling-b"])
    with misses.noted() as missed:
        page = write_week_page(tmp_path, "Log", str(WEEK), made, lambda _line: None, ("en", "ko"))
    said = Extracted()
    for path in (PROJECT_FOLDER / "analysis" / "week").glob("*.py"):
        texts_of(path.read_text(), path.name, said)
    assert len(said.plurals) > 30
    assert not missed & said.plurals.keys()
    html = text_of(page.read_text())
    korean = (page.parent / "2026-W48.ko.md").read_text()
    for english, words in TRANSLATED.items():
        assert english in html
        assert words in html
        assert words in korean
    assert "Measure eight nodes" in korean
    assert "(2026-W48/run-1-decode-rate.ko.png)" in korean
    alone = write_week_page(tmp_path / "b", "Log", str(WEEK), made, lambda _line: None, ("ko",))
    assert "열린 질문" in (alone.parent / "2026-W48.md").read_text()


def test_the_letters_of_a_korean_page_are_those_of_the_first_font(
    results: Path, tmp_path: Path
) -> None:
    """Chromium draws boxes for the first letters of each size if it is a later one."""
    made = sections(LOG, [])
    page = write_week_page(tmp_path, "Log", str(WEEK), made, lambda _line: None, ("ko",))
    html = page.read_text()
    assert 'body { font-family: "Herd Hangul", system-ui' in html
    assert "unicode-range: U+3131-318E, U+AC00-D7A3;" in html


def test_the_line_of_a_run_is_in_the_language_of_the_log(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_STUDY", str(tmp_path))
    (tmp_path / "log.md").write_text("# 연구 노트\n\n## 일지\n")
    study = study_in(results / "scaling-a")

    def made() -> tuple[RunLink, RecordedLine]:
        line = run_line(results / "scaling-a", study.verdict.spoken)
        return RunLink("scaling-a", tmp_path / "index.html"), line

    diary.record("run", made, wanted=True)
    text = (tmp_path / "log.md").read_text()
    assert "실행 [scaling-a](index.html): Scaling over nodes (벤치마크)" in text
    assert "셀 4개, 시행 8회 중" in text
