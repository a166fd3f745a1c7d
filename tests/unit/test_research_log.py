"""The research log: weeks and days, both languages, numbers, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import fabfile
from analysis.week.recorded import local_time
from collect.diary.dates import Week, as_day, asked_day, asked_week, local_day, week_of
from collect.diary.entries import Entry, entries_of
from collect.diary.file import LogFile
from collect.diary.keep import (
    add_entry,
    add_finding,
    add_goal,
    add_question,
    finish,
    said,
    task_numbers,
)
from collect.diary.log import log_of
from collect.diary.notes import taken_apart
from collect.diary.patch import Wish
from collect.diary.week import week_of_log
from core.errors import HerdError

TODAY = date(2026, 11, 25)
WEEK = Week(2026, 48)
BY_HAND = """\
# 연구 일지

## 📌 목표 (Goals)

### 최종 목표
- [ ] #3 논문 내기 (2026-12-18까지)

### 이번 주
- [x] 라즈베리 파이 네 대 설치 (2026-W48 주간)
- 스케일링 측정 (2026-W48)

## 일지

## 2026년 11월 24일 화요일

SD 카드를 새로 구웠다.

- 14:00 pi3 다시 설치
  - 펌웨어도 갱신

```
vcgencmd get_throttled
```

## 질문
* 왜 동기화가 느릴까?

## 결과

- 2026-11-24 네 대가 1.8배 빠르다. `scaling-1`, [보고서](../analysis/reports/scaling-2/index.html)

## 회의 메모

- 교수님과 회의
"""


@pytest.fixture
def file(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "study")


def written(file: LogFile, text: str) -> LogFile:
    file.folder.mkdir(exist_ok=True)
    file.path.write_text(text)
    return file


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("day", "week"),
    [
        (date(2026, 12, 28), "2026-W53"),
        (date(2027, 1, 3), "2026-W53"),
        (date(2027, 1, 4), "2027-W01"),
        (date(2024, 12, 30), "2025-W01"),
    ],
)
def test_weeks_are_those_of_iso_8601(day: date, week: str) -> None:
    assert str(week_of(day)) == week
    assert day in week_of(day).days


def test_a_week_that_a_year_does_not_have_is_refused() -> None:
    assert asked_week("W53", TODAY) == Week(2026, 53)
    assert asked_week("last", date(2027, 1, 4)) == Week(2026, 53)
    with pytest.raises(HerdError, match="2025-W01 to 2025-W52"):
        asked_week("2025-W53", TODAY)
    with pytest.raises(HerdError, match="such as 2026-W48"):
        asked_week("48", TODAY)
    with pytest.raises(HerdError, match="2026-02-30"):
        asked_day("2026-02-30", TODAY)


@pytest.mark.parametrize("text", ["2026-11-25", "2026.11.25", "2026. 11. 25.", "2026년 11월 25일"])
def test_days_are_read_as_people_write_them(text: str) -> None:
    assert as_day(text) == TODAY


@pytest.mark.parametrize(
    ("name", "day", "clock"),
    [
        ("Asia/Seoul", date(2026, 11, 30), "04:30"),
        ("UTC", date(2026, 11, 29), "19:30"),
        ("America/New_York", date(2026, 11, 29), "14:30"),
    ],
)
def test_a_day_and_its_week_are_local(
    zone: pytest.MonkeyPatch, name: str, day: date, clock: str
) -> None:
    zone.setenv("TZ", name)
    time.tzset()
    moment = 1_795_980_600.0  # Sunday, 29 November 2026, 19:30 UTC
    assert local_day(moment) == day
    assert f"{local_time(moment):%H:%M}" == clock
    assert str(week_of(local_day(moment))) == ("2026-W49" if name == "Asia/Seoul" else "2026-W48")


def test_the_hour_that_summer_time_repeats_and_the_one_it_skips(zone: pytest.MonkeyPatch) -> None:
    zone.setenv("TZ", "Europe/Berlin")
    time.tzset()
    first, second = 1_792_888_200.0, 1_792_891_800.0  # 25 October 2026, 02:30 CEST and CET
    assert [f"{local_time(one):%H:%M %z}" for one in (first, second)] == [
        "02:30 +0200",
        "02:30 +0100",
    ]
    assert {local_day(first), local_day(second)} == {date(2026, 10, 25)}
    zone.setenv("TZ", "Africa/Cairo")
    time.tzset()
    # On 24 April 2026 Cairo's clocks go from 24:00 to 01:00: that day has no midnight.
    assert local_day(1_776_981_599.0) == date(2026, 4, 23)
    assert local_day(1_776_981_601.0) == date(2026, 4, 24)


def test_a_log_by_hand_in_korean_is_understood() -> None:
    log = log_of(BY_HAND)
    found = [(one.number, one.text, one.place.kind, one.is_done) for one in log.goals]
    assert found == [
        (3, "논문 내기", "final", False),
        (None, "라즈베리 파이 네 대 설치", "weekly", True),
        (None, "스케일링 측정", "weekly", False),
    ]
    assert log.goals[0].due == date(2026, 12, 18)
    assert [one.place.week for one in log.goals[1:]] == [WEEK, WEEK]
    assert [one.text for one in log.questions] == ["왜 동기화가 느릴까?"]
    (finding,) = log.findings
    assert finding.text.startswith("네 대가 1.8배")
    assert set(finding.named) == {"scaling-1", "보고서"}
    assert entries_of(log, date(2026, 11, 24)) == (
        Entry("text", "SD 카드를 새로 구웠다."),
        Entry("item", "14:00 pi3 다시 설치"),
        Entry("item", "펌웨어도 갱신", 1),
        Entry("code", "vcgencmd get_throttled"),
    )


def test_what_is_added_to_a_log_by_hand_is_in_its_language_and_its_places(file: LogFile) -> None:
    written(file, BY_HAND)
    add_goal(file, Wish("weekly", "보고서 쓰기", WEEK), TODAY)
    add_entry(file, "측정을 시작했다", TODAY, "09:10")
    finish(file, [6], TODAY)
    text = file.path.read_text()
    assert (
        "- #5 스케일링 측정 (2026-W48)\n- [ ] #7 보고서 쓰기 (2026-W48 주간, 2026-11-25부터)\n"
        in text
    )
    assert "\n\n## 2026-11-25 (수)\n\n- 09:10 측정을 시작했다\n\n## 질문\n* [x] #6 왜" in text
    for line in BY_HAND.splitlines():
        assert line in text or line[0] in "-*"


def test_the_first_day_of_a_log_whose_title_says_diary_goes_below_the_heading_for_days(
    file: LogFile,
) -> None:
    written(file, "# 연구 일지\n\n## 일지\n\n## 회의\n\n- 교수님\n")
    add_entry(file, "x", TODAY)
    assert "## 일지\n\n### 2026-11-25 (수)\n\n- x\n\n## 회의" in file.path.read_text()
    written(file, "# 연구 일지\n\n## 회의\n\n- 교수님\n")
    add_entry(file, "x", TODAY)
    assert file.path.read_text().endswith("- 교수님\n\n## 2026-11-25 (수)\n\n- x\n")


def test_what_a_day_is_divided_into_is_of_that_day(file: LogFile) -> None:
    by_hand = (
        "# 연구 노트\n\n## 알게 된 점\n\n## 일지\n\n### 2026-11-24 (화)\n\n- a\n\n"
        "### 2026-11-25 (수)\n\n- 08:00 b\n\n#### 이번 주 목표\n\n- 목표 c\n\n"
        "#### 결과\n\n- 결과 d\n\n#### 내일 할 일\n\n- e\n"
    )
    written(file, by_hand)
    add_finding(file, "f", [], TODAY)
    add_entry(file, "g", TODAY, "19:00")
    log, text = file.read(), file.path.read_text()
    assert text == by_hand.replace("알게 된 점\n", "알게 된 점\n\n- 2026-11-25 f\n").replace(
        "- 08:00 b\n", "- 08:00 b\n- 19:00 g\n"
    )
    assert [one.text for one in log.findings] == ["f"]
    assert log.goals == ()
    assert [one.text for one in entries_of(log, TODAY)] == [
        "08:00 b", "19:00 g", "이번 주 목표", "목표 c", "결과", "결과 d", "내일 할 일", "e",
    ]  # fmt: skip


def test_days_that_are_newest_first_stay_so(file: LogFile) -> None:
    written(file, "## Diary\n\n### 2026-11-24\n\n- b\n\n### 2026-11-20\n\n- a\n")
    for day in (25, 22, 19):
        add_entry(file, "x", date(2026, 11, day))
    assert [day.day for day in file.read().days] == [25, 24, 22, 20, 19]


def test_a_goal_goes_below_the_heading_of_its_week(file: LogFile) -> None:
    written(file, "# Goals\n## Weekly\n### 2026-W47\n- [ ] a\n### 2026-W48\n- [ ] b\n")
    add_goal(file, Wish("weekly", "c", WEEK), TODAY)
    assert file.path.read_text().endswith(
        "- [ ] #2 b\n- [ ] #3 c (week 2026-W48, since 2026-11-25)\n"
    )


def test_a_flat_list_of_goals_stays_flat(file: LogFile) -> None:
    written(file, "## Goals\n\n- [ ] one (final)\n")
    task = add_goal(file, Wish("intermediate", "two", due=date(2026, 12, 1)), TODAY)
    assert task.place.kind == "intermediate"
    assert "- [ ] #2 two (intermediate, since 2026-11-25, by 2026-12-01)\n" in file.path.read_text()


def test_numbers_are_given_once_even_if_the_last_goal_is_deleted(file: LogFile) -> None:
    add_goal(file, Wish("final", "one"), TODAY)
    second = add_question(file, "two?", TODAY)
    kept = [one for one in file.path.read_text().splitlines(keepends=True) if "two?" not in one]
    file.path.write_text("".join(kept))
    assert second.number == 2
    assert add_question(file, "three?", TODAY).number == 3


def test_done_is_refused_where_it_is_not_clear_what_is_meant(file: LogFile) -> None:
    with pytest.raises(HerdError, match=r"There is no .*log.md yet"):
        finish(file, [1], TODAY)
    assert not file.path.exists()
    written(file, "## Goals\n\n- [ ] #1 a\n- [ ] #2 b\n- [ ] #2 c\n- [x] #3 d\n")
    before = file.path.read_text()
    for numbers, what in {
        (9,): r"There is no #9 .*Open: #1 a; #2 b; #2 c",
        (2,): r"#2 is two things .*lines 4 and 5",
        (3,): r"#3 was done \(.*line 6\): d.*write `\[ \]` instead",
        (1, 9): r"There is no #9",
    }.items():
        with pytest.raises(HerdError, match=what):
            finish(file, numbers, TODAY)
    assert file.path.read_text() == before
    assert "both are #2" in file.read().wrong[0]
    with pytest.raises(HerdError, match="give numbers"):
        task_numbers(["three"])


def test_a_box_that_was_unticked_by_hand_can_be_done_again(file: LogFile) -> None:
    written(file, "## Goals\n\n- [ ] #1 a (by 2026-12-01, done 2026-11-20)\n")
    (task,) = finish(file, [1], TODAY)
    assert task.done == TODAY
    assert file.path.read_text() == "## Goals\n\n- [x] #1 a (by 2026-12-01, done 2026-11-25)\n"


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("[ ] #3 a (by 2026-12-01) and more", "a and more", "due"),
        ("[ ] **#3** a (see pi3)", "a (see pi3)", None),
        ("[ ] #3: a (2026-W48 주간, 2026-11-23부터)", "a", "week"),
        ("[ ] C#3 a", "C#3 a", None),
    ],
)
def test_an_item_is_taken_apart(text: str, words: str, place: str | None) -> None:
    marks = taken_apart(text)
    assert marks.words == words
    assert place is None or getattr(marks.note, place)


def test_a_date_that_does_not_exist_is_named_with_its_line() -> None:
    log = log_of("## Goals\n\n- [ ] a (by 2026-02-30)\n\n## Diary\n\n### 2026-13-01\n", "log.md")
    assert log.wrong[0].startswith("log.md, line 3: 2026-02-30: ")
    assert log.wrong[1] == "log.md, line 7: 2026-13-01 is not a day."


def test_a_week_has_what_was_done_and_what_is_left() -> None:
    log = log_of(
        "## Goals\n### Weekly\n- [ ] #1 old (2026-W46)\n- [x] #2 done before (2026-W47)\n"
        "- [ ] #3 now (2026-W48)\n- [ ] #4 next (2026-W49)\n- [ ] #5 no week\n"
        "- [x] #11 late (2026-W47, done 2026-11-25)\n- [x] #12 then (2026-W47, done 2026-11-20)\n"
        "### Final\n- [ ] #6 f\n"
        "- [x] #7 long ago (done 2026-11-02)\n- [x] #8 this week (done 2026-11-24)\n"
        "## Questions\n- [x] #9 answered (done 2026-11-01)\n- [ ] #10 later (since 2026-12-01)\n"
        "## Findings\n- 2026-11-23 a\n- 2026-11-30 b\n- c\n"
    )
    week = week_of_log(log, WEEK)
    assert [one.number for one in week.goals] == [3]
    assert [one.number for one in week.left] == [1, 5, 11]
    assert [one.number for one in week.larger] == [6, 8]
    assert [one.number for one in week.upcoming] == [4]
    assert week.questions == ()
    assert [one.text for one in week.findings] == ["a"]
    assert week.undated == 1


def test_texts_are_one_line_of_text() -> None:
    assert said(["Set", "up\n pi3"], "today") == "Set up pi3"
    refused = {"  ": "write the text", "a\x1b[2J": "control characters", "a" * 5000: "5000"}
    for text, what in refused.items():
        with pytest.raises(HerdError, match=what):
            said([text], "today")


def test_text_that_begins_like_a_list_is_text(file: LogFile) -> None:
    texts = ["- a", "# b", "```", "<!-- c", "1. first", "10) ten", "2026. a year"]
    for text in texts:
        add_entry(file, text, TODAY)
    assert entries_of(file.read(), TODAY) == tuple(Entry("item", text) for text in texts)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("latency x<y and y>z", "latency x<y and y>z"),
        ("std::vector<float> copied", "std::vector<float> copied"),
        ("4*8*16 trials", "4*8*16 trials"),
        ("`4*8*16` trials", "4*8*16 trials"),
        ("*아주*는 **느림**이다", "아주는 느림이다"),
        ("~~twice as fast~~ was wrong", "~~twice as fast~~ was wrong"),
        ("H<sub>2</sub>O<br>kept <!-- hidden -->", "H2O kept"),
    ],
)
def test_what_is_shown_says_what_was_typed(file: LogFile, typed: str, shown: str) -> None:
    """Figures and words in it are neither lost nor joined, and what is struck out is no fact."""
    add_entry(file, said([typed], "today"), TODAY, "14:05")
    asked = add_question(file, said([typed], "question"), TODAY)
    assert [one.text for one in entries_of(file.read(), TODAY)] == [f"14:05 {shown}"]
    assert asked.text == shown


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("2026-11-24 slower than on 2026-11-20", "slower than on 2026-11-20"),
        ("2026-11-24 (2026-11-20 was wrong)", "(2026-11-20 was wrong)"),
        ("2026-11-24 # of trials matters", "# of trials matters"),
        ("2026-11-24: a", "a"),
        ("**2026-11-24** - a", "a"),
        ("(2026년 11월 24일) 가", "가"),
    ],
)
def test_a_finding_that_names_another_day_stays_in_its_week(item: str, text: str) -> None:
    [found] = week_of_log(log_of(f"## Findings\n\n- {item}\n"), WEEK).findings
    assert (found.day, found.text) == (date(2026, 11, 24), text)


@pytest.mark.parametrize(
    ("typed", "marked"),
    [
        (["today", "a b"], ["--word=today", "--word=a b"]),
        (["goal", "--week", "text"], ["--word=goal", "--week=this", "--word=text"]),
        (["goal", "--week", "next", "text"], ["--word=goal", "--week=next", "--word=text"]),
        (["show", "--week", "2026-W48", "--json"], ["--word=show", "--week=2026-W48", "--json"]),
        (["show", "--day"], ["--word=show", "--day=today"]),
        (["finding", "x", "--run", "r1"], ["--word=finding", "--word=x", "--run=r1"]),
        (["today", "plan"], ["--word=today", "--word=plan"]),
        (["today", "-5 °C"], ["--word=today", "--word=-5 °C"]),
    ],
)
def test_bare_words_are_the_text(typed: list[str], marked: list[str]) -> None:
    words = ["log", *typed]
    fabfile.mark_words(words)
    assert words == ["log", *marked]
    other = ["doctor", "--limit", "log", "x"]
    fabfile.mark_words(other)
    assert other == ["doctor", "--limit", "log", "x"]
