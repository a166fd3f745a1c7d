"""Headings and words of the research log, in English and Korean: what is read, what is written.

These are the format of a file. A log may mix both languages, so all of them are recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["goals", "questions", "findings", "diary"]
Kind = Literal["final", "intermediate", "weekly"]
PARTS: tuple[Part, ...] = ("goals", "questions", "findings", "diary")
KINDS: tuple[Kind, ...] = ("final", "intermediate", "weekly")

PART_TITLES: Mapping[Part, frozenset[str]] = {
    "goals": frozenset(("goals", "goal", "objectives", "aims", "목표", "연구 목표")),
    "questions": frozenset(
        ("open questions", "questions", "열린 질문", "질문", "미해결 질문", "남은 질문", "의문점",
         "궁금한 점")
    ),
    "findings": frozenset(
        ("findings", "results", "발견", "결과", "연구 결과", "발견한 점", "알게 된 점",
         "알게 된 것")
    ),
    "diary": frozenset(
        ("diary", "log", "entries", "days", "journal", "일지", "연구 일지", "일기", "기록",
         "일일 기록", "매일 기록")
    ),
}  # fmt: skip
KIND_TITLES: Mapping[Kind, frozenset[str]] = {
    "final": frozenset(("final", "최종")),
    "intermediate": frozenset(("intermediate", "interim", "milestones", "중간", "중간 단계")),
    "weekly": frozenset(("weekly", "week", "this week", "주간", "이번 주", "주별")),
}
_GOALS = re.compile(r"\s{0,9}(?:goals?|목표)$")


@dataclass(frozen=True, slots=True)
class Words:
    """What is written into a log in one language.

    Attributes:
        title: of a new log.
        parts: the heading of each part.
        kinds: the heading of each kind of goal.
        final, intermediate: the kind in a note, where the log has no headings for kinds.
        by, week, since, done: a note with `{}` for the date.
        run, tuning, model: what begins the line of each.
        weekdays: Monday first.
    """

    title: str
    parts: Mapping[Part, str]
    kinds: Mapping[Kind, str]
    by: str
    week: str
    since: str
    done: str
    run: str
    tuning: str
    model: str
    weekdays: tuple[str, ...]


ENGLISH = Words(
    title="Research log",
    parts={
        "goals": "Goals", "questions": "Open questions", "findings": "Findings", "diary": "Diary"
    },
    kinds={"final": "Final", "intermediate": "Intermediate", "weekly": "Weekly"},
    by="by {}", week="week {}", since="since {}", done="done {}",
    run="Run", tuning="Tuning", model="Model",
    weekdays=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
)  # fmt: skip
KOREAN = Words(
    title="연구 노트",
    parts={"goals": "목표", "questions": "열린 질문", "findings": "알게 된 점", "diary": "일지"},
    kinds={"final": "최종", "intermediate": "중간", "weekly": "주간"},
    by="{}까지", week="{} 주간", since="{}부터", done="{} 완료",
    run="실행", tuning="튜닝", model="모델",
    weekdays=("월", "화", "수", "목", "금", "토", "일"),
)  # fmt: skip
LANGUAGES: Mapping[str, Words] = {"en": ENGLISH, "ko": KOREAN}


def readings(title: str) -> frozenset[str]:
    """Return what a heading may be meant as: itself, and what is in its brackets or outside them.

    Numbers, signs and emoji around the words do not count, nor does the case of letters.
    """
    inside = re.findall(r"[(\[]([^()\[\]]*)[)\]]", title)
    outside = re.sub(r"[(\[][^()\[\]]*[)\]]", " ", title)
    parts = [title, outside, *inside, *re.split(r"\s[/|·:-]\s", outside)]
    return frozenset(filter(None, map(_bare, parts)))


def _bare(text: str) -> str:
    words = re.sub(r"[^\w\s]|_", " ", text.casefold())
    return " ".join(re.sub(r"^\s{0,9}\d{1,2}(?=\s)", "", words).split())


def part_of(title: str) -> Part | None:
    """Return the part that a heading begins; None for another heading."""
    found = readings(title)
    return next((part for part in PARTS if PART_TITLES[part] & found), None)


def kind_of(title: str) -> tuple[Kind | None, bool]:
    """Return the kind of goals that a heading begins, and whether it says that it is of goals."""
    for one in readings(title):
        bare = _GOALS.sub("", one)
        for kind in KINDS:
            if bare in KIND_TITLES[kind]:
                return kind, bare != one
    return None, False


def language_of(titles: list[str], default: str) -> str:
    """Return the language of a log by the headings of its parts; the default where it has none."""
    known = [title for title in titles if part_of(title) or kind_of(title)[0]]
    if not known:
        return default
    korean = sum(bool(re.search(r"[가-힣]", title)) for title in known)
    return "ko" if 2 * korean > len(known) else "en"
