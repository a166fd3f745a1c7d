"""Stored runs, the week, two runs and the live page have no English left in Korean, as reports."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from analysis.live.drawing import draw_charts
from analysis.live.follower import Follower
from analysis.live.site import LiveSite
from analysis.live.state import RunPhase
from analysis.report import write_report
from analysis.two_runs.comparison import Asking, compared_runs
from analysis.two_runs.page import write_comparison
from analysis.week.page import week_sections
from analysis.week.runs_of_week import runs_of_week
from analysis.week.write import write_week_page
from collect.diary.dates import Week
from collect.diary.log import log_of
from collect.diary.week import title_of_log, week_of_log
from collect.load import load_run
from collect.run import RunManifest
from core.local_site.answers import Content
from tests.doubles.korean_words import Words, left, names_of, words_in
from tests.doubles.run_folder import make_run
from tests.unit.test_stored_runs import EXPECTED, NAMES, STORED
from tests.unit.test_watching import follow, make_live

LOG = """\
# 연구 노트

## 목표

### 주간

- [x] #1 노드 8대 측정 (2026-W48)
- [ ] #2 지난 목표 (2026-W46, 2026-11-27까지)

### 최종

- [ ] #3 논문 (2026-12-18까지)

## 질문

- [ ] #4 왜 느린가?

## 결과

- 2026-11-24 더 빠름

## 일지

### 2026-11-24

- pi3 설치
"""


def english_in(page: str, *runs: RunManifest, names: tuple[str, ...] = ()) -> dict[str, str]:
    return left(Words(page).texts, set(names).union(*map(names_of, runs)))


@pytest.mark.parametrize("name", NAMES)
def test_the_report_of_a_stored_run(name: str, tmp_path: Path) -> None:
    run = tmp_path / "results" / name
    shutil.copytree(STORED / name, run, ignore=shutil.ignore_patterns(EXPECTED))
    written = write_report(run, tmp_path / "reports", languages=("ko",))
    page = written.index.read_text(encoding="utf-8")
    answers = STORED / name / EXPECTED / "differing-texts.csv"
    said = words_in(answers.read_text(encoding="utf-8")) if answers.exists() else set()
    assert english_in(page, load_run(run), names=tuple(said)) == {}


def test_the_page_of_a_week(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", nodes=(1, 2), repeats=2)
    week, log = Week(2026, 48), log_of(LOG)
    made = list(week_sections(week_of_log(log, week), runs_of_week([run]), date(2026, 11, 29)))
    page = write_week_page(tmp_path, title_of_log(log), str(week), made, str, ("ko",))
    assert english_in(page.read_text(encoding="utf-8"), load_run(run)) == {}


def test_the_page_of_two_runs(tmp_path: Path) -> None:
    one = make_run(tmp_path / "results", name="old", nodes=(1, 2), repeats=8)
    other = make_run(tmp_path / "results", name="new", nodes=(1, 2, 4), repeats=6, seed=9)
    found = compared_runs(one, other, (), Asking(limit=0.05))
    page = write_comparison(found, tmp_path / "results", ("ko",))
    text, runs = page.read_text(encoding="utf-8"), (load_run(one), load_run(other))
    assert english_in(text, *runs, names=(page.parent.name,)) == {}


@pytest.mark.parametrize("phase", [RunPhase.MEASURING, RunPhase.STOPPED, RunPhase.FINISHED])
def test_the_live_page(phase: RunPhase, tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", pending=[("llama.cpp", 1, 1)])
    make_live(tmp_path / "results", run.name)
    follower = Follower(tmp_path / "results", tmp_path / "reports")
    state = follow(follower, lambda one: one.phase is RunPhase.MEASURING)
    assert state.account is not None
    drawn = draw_charts(state.account, "ko")
    follower.state = replace(state, phase=phase, drawn=drawn)
    page = LiveSite(follower, "ko").get("", "")
    assert isinstance(page, Content)
    assert english_in(page.content.decode(), load_run(run)) == {}
