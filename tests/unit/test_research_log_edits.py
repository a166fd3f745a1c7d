"""A research log that people and `fab log` write by turns: every byte a person wrote stays."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from collect.diary.dates import week_of
from collect.diary.file import LogFile
from collect.diary.keep import (
    RunLink,
    add_entry,
    add_finding,
    add_goal,
    add_question,
    add_run,
    finish,
)
from collect.diary.log import Log, log_of
from collect.diary.patch import Wish
from core.errors import HerdError

FIRST = date(2026, 11, 16)
DAYS = 14
COUNTER = re.compile(r"last number \d+")
PIECES = (
    "A note by hand {n}.",
    "- an item by hand {n}",
    "* starred by hand {n}\n  over two lines",
    "1. ordered by hand {n}",
    "- outer {n}\n  - inner\n  - [ ] inner box",
    "```\n## no heading {n}\n- [ ] #1 no goal\n```",
    "~~~python\n# {n}\n~~~",
    "    indented code {n}\n    - [ ] not an item",
    "> a quote {n}\n> - [ ] #2 quoted",
    "<!-- a comment {n}\n## not a heading\n-->",
    "| a | b |\n|---|---|\n| {n} | 2 |",
    "---",
    "## A section of my own {n}",
    "### Sub {n}",
    "Setext {n}\n--------",
    "![picture {n}](images/{n}.png)",
    "한국어로 쓴 메모 {n} · 라즈베리 파이 🍓",
    "a line with trailing blanks {n}  ",
    "\ttab {n}",
    "[ ] no item {n}",
    "<div>{n}</div>",
    "#{n} without a blank",
    "- ",
)
GOALS = (
    "- [ ] a goal by hand {n}",
    "- [x] a goal that is done {n}",
    "- a goal without a box {n}",
    "* [ ] starred goal {n} (by 2026-12-24)",
    "- [ ] goal {n} over\n  two lines (2026-W48 주간)",
    "- [ ] goal {n} (with brackets) that go on",
)


SIGNS = "#-*[]x `~<>!|=\n\r\t0123456789.()목표주간Goals"
QUICK = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Each example writes files durably, so shrinking would take minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


@contextmanager
def study() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def canonical(text: str) -> str:
    """Return a text without what `fab log` may replace: what is in a box, the last number."""
    return COUNTER.sub("last number", re.sub(r"\[[ xX]\]", "[]", text))


def is_within(old: str, new: str) -> bool:
    """Whether a text is in another, in its order, with insertions between."""
    letters = iter(new)
    return all(letter in letters for letter in old)


def require_kept(before: bytes, after: bytes) -> None:
    """See that a text kept every byte: lines of their own, whole; goals with insertions."""
    old, new = before.decode(), after.decode()
    assert is_within(canonical(old), canonical(new))
    kept = [line for line in old.splitlines(keepends=True) if line.endswith("\n")]
    whole = Counter(new.splitlines(keepends=True))
    for line in kept:
        is_changed = bool(COUNTER.search(line)) or re.match(r"\s|([-*+]|\d+[.)])\s", line)
        if not is_changed:
            assert whole[line] >= kept.count(line), line
    assert before.startswith(b"\xef\xbb\xbf") == after.startswith(b"\xef\xbb\xbf")
    if "\r\n" in old and "\n" not in old.replace("\r\n", ""):
        assert "\n" not in new.replace("\r\n", "")


class Hand:
    """A person with an editor."""

    def __init__(self, path: Path, data: st.DataObject) -> None:
        self.path = path
        self.data = data
        self.written = 0

    def edit(self) -> None:
        edits: list[Callable[[str], str]] = [
            self.insert, self.goal, self.tick, self.reword, self.move, self.ends, self.bare,
            self.mark, self.blank, self.translate, self.delete,
        ]  # fmt: skip
        content = self.path.read_bytes()
        mark = content[:3] if content.startswith(b"\xef\xbb\xbf") else b""
        text = content.removeprefix(mark).decode()
        edited = self.data.draw(st.sampled_from(edits))(text)
        begins = b"" if edited.startswith("\ufeff") else mark
        self.path.write_bytes(begins + edited.encode())

    def _piece(self, pieces: tuple[str, ...], text: str) -> str:
        self.written += 1
        piece = self.data.draw(st.sampled_from(pieces)).format(n=1000 + self.written)
        return piece.replace("\n", "\r\n" if "\r\n" in text else "\n")

    def _between(self, text: str) -> list[str]:
        """Blocks of lines between blank ones: a person does not tear what belongs together."""
        return re.split(r"(?<=\n)(?=\r?\n)", text)

    def insert(self, text: str) -> str:
        end = "\r\n" if "\r\n" in text else "\n"
        parts = self._between(text)
        at = self.data.draw(st.integers(0, len(parts)))
        parts.insert(at, f"{end}{self._piece(PIECES, text)}{end}")
        return "".join(parts)

    def goal(self, text: str) -> str:
        heads = list(
            re.finditer(r"^#{2,3} (?:Weekly|Final|주간|최종|Goals|목표)\r?\n", text, re.MULTILINE)
        )
        if not heads:
            return text
        head = self.data.draw(st.sampled_from(heads))
        end = "\r\n" if head[0].endswith("\r\n") else "\n"
        piece = f"{end}{self._piece(GOALS, text)}{end}"
        return text[: head.end()] + piece + text[head.end() :]

    def tick(self, text: str) -> str:
        boxes = list(re.finditer(r"(?<=\[) (?=\])", text))
        if not boxes:
            return text
        box = self.data.draw(st.sampled_from(boxes))
        return f"{text[: box.start()]}x{text[box.end() :]}"

    def delete(self, text: str) -> str:
        """Delete a goal or a question of one line, number and all."""
        items = list(re.finditer(r"^- \[.\] #\d+ .*\)\r?\n", text, re.MULTILINE))
        if not items:
            return text
        item = self.data.draw(st.sampled_from(items))
        return text[: item.start()] + text[item.end() :]

    def reword(self, text: str) -> str:
        return text.replace("entry", "what was done").replace("goal", "aim")

    def move(self, text: str) -> str:
        """Put the last section of the second level before the others."""
        if "```" in text or "~~~" in text or "<!--" in text[60:]:
            return text
        parts = re.split(r"(?<=\n)(?=## )", text)
        if len(parts) < 3:
            return text
        last = parts[-1] if parts[-1].endswith("\n") else f"{parts[-1]}\n"
        return "".join([parts[0], last, *parts[1:-1]])

    def ends(self, text: str) -> str:
        unix = text.replace("\r\n", "\n")
        return unix if "\r\n" in text else unix.replace("\n", "\r\n")

    def bare(self, text: str) -> str:
        return text.rstrip("\r\n")

    def mark(self, text: str) -> str:
        return f"\ufeff{text}"

    def blank(self, text: str) -> str:
        return re.sub(r"(\r?\n)(?=## )", r"\1\1\1", text)

    def translate(self, text: str) -> str:
        pairs = {"## Goals": "## 목표", "## Findings": "## 결과", "## Diary": "## 일지",
                 "### Weekly": "### 이번 주 목표:",
                 "## Open questions": "## 4. 열린 질문"}  # fmt: skip
        for one, other in pairs.items():
            text = text.replace(one, other)
        return text


class Tool:
    """`fab log`, and what it must find again."""

    def __init__(self, folder: Path, data: st.DataObject) -> None:
        self.file = LogFile(folder)
        self.data = data
        self.runs: list[str] = []
        self.texts = 0
        self.numbers: dict[str, int] = {}

    def work(self, day: date) -> None:
        before = self.file.path.read_bytes() if self.file.path.exists() else b""
        log = self._read()
        kind = self.data.draw(
            st.sampled_from(["entry", "goal", "question", "finding", "done", "run", "again"])
        )
        getattr(self, f"_{kind}")(day, log)
        if kind != "again":
            assert all(task.number is not None for task in self.file.read().tasks)
        after = self.file.path.read_bytes()
        if before:
            require_kept(before, after)
        self._numbers_stay()

    def _read(self) -> Log | None:
        return self.file.read() if self.file.path.exists() else None

    def _text(self, what: str) -> str:
        self.texts += 1
        return f"{what} by the tool {self.texts}"

    def _entry(self, day: date, _log: Log | None) -> None:
        text = self._text("entry")
        found = add_entry(self.file, text, day, "14:05")
        regions = found.regions_of(day)
        raw = ["".join(found.outline.lines[i.first : i.after]) for r in regions for i in r.items]
        assert sum(text in one for one in raw) == 1

    def _goal(self, day: date, _log: Log | None) -> None:
        kind = self.data.draw(st.sampled_from(["weekly", "final", "intermediate"]))
        week = week_of(day) if kind == "weekly" else None
        task = add_goal(self.file, Wish(kind, self._text("aim"), week), day)
        assert task.text.endswith(f"by the tool {self.texts}")
        assert (task.place.kind, task.place.week, task.since) == (kind, week, day)

    def _question(self, day: date, _log: Log | None) -> None:
        task = add_question(self.file, self._text("question"), day)
        assert task.text.endswith(f"by the tool {self.texts}")

    def _finding(self, day: date, _log: Log | None) -> None:
        text = self._text("finding")
        found = add_finding(self.file, text, [RunLink("run-1", Path("/x/index.html"))], day)
        (one,) = [one for one in found.findings if one.text.startswith(text)]
        assert one.day == day
        assert one.named == ("run-1",)

    def _done(self, day: date, log: Log | None) -> None:
        counts = Counter(task.number for task in log.tasks) if log else Counter()
        tasks = log.tasks if log else ()
        fit = [one for one in tasks if one.number and not one.is_done and counts[one.number] == 1]
        if not fit:
            self._entry(day, log)
            return
        chosen = self.data.draw(st.sampled_from(fit))
        assert chosen.number is not None
        (task,) = finish(self.file, [chosen.number], day)
        assert (task.is_done, task.done, task.text) == (True, day, chosen.text)

    def _run(self, day: date, _log: Log | None) -> None:
        name = f"scaling-{len(self.runs)}"
        self.runs.append(name)
        assert self._record(name, day)

    def _again(self, day: date, log: Log | None) -> None:
        if not self.runs:
            self._entry(day, log)
            return
        assert not self._record(self.data.draw(st.sampled_from(self.runs)), day)

    def _record(self, name: str, day: date) -> bool:
        moment = datetime(day.year, day.month, day.day, 16, 40).astimezone()
        link = RunLink(name, Path(f"/reports/{name}/index.html"))
        return add_run(self.file, link, "run", "How fast? 8 cells. entry.", moment)

    def _numbers_stay(self) -> None:
        log = self.file.read()
        for task in log.tasks:
            found = re.search(r"\d{4}|by the tool \d+", task.text)
            if found and task.number is not None:
                assert self.numbers.setdefault(found[0], task.number) == task.number
        assert len(set(self.numbers.values())) == len(self.numbers)  # also those that are gone
        numbers = [task.number for task in log.tasks if task.number is not None]
        assert len(set(numbers)) == len(numbers)


@settings(QUICK, max_examples=25)
@given(data=st.data())
def test_a_fortnight_of_edits_by_hand_and_by_the_tool(data: st.DataObject) -> None:
    with study() as folder:
        tool = Tool(folder, data)
        hand = Hand(tool.file.path, data)
        for day in range(DAYS):
            tool.work(FIRST + timedelta(days=day))
            for _ in range(data.draw(st.integers(0, 2))):
                hand.edit()


@settings(QUICK, max_examples=100)
@given(
    text=st.text(alphabet=st.sampled_from(list("#-*[]x `~<>!|=\n\r\t0123456789.()목표주간Goals")))
)
def test_any_text_is_kept_or_refused_by_name(text: str) -> None:
    with study() as folder:
        file = LogFile(folder)
        file.path.write_bytes(text.encode())
        refused = None
        try:
            add_entry(file, "entry of the day", FIRST, "14:05")
        except HerdError as error:
            refused = str(error)
        if refused:
            assert str(file.path) in refused
            assert file.path.read_bytes() == text.encode()
            return
        require_kept(text.encode(), file.path.read_bytes())
        assert file.read().regions_of(FIRST)


@pytest.mark.parametrize("text", ["```\nnever closed\n", "# A\n\n<!-- never closed\n\n## Diary\n"])
def test_below_a_block_that_is_not_closed_nothing_is_written(tmp_path: Path, text: str) -> None:
    file = LogFile(tmp_path)
    file.path.write_text(text)
    with pytest.raises(HerdError, match=r"line \d.*is not closed"):
        add_entry(file, "lost", FIRST)
    assert file.path.read_text() == text


def test_what_looks_like_a_heading_in_code_is_none() -> None:
    log = log_of("```\n## Goals\n- [ ] #1 no\n```\n\nGoals\n=====\n\n- [ ] #2 yes\n")
    assert [task.number for task in log.goals] == [2]
