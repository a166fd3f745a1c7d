"""The file of the research log: many writers, kills, editors, conflicts, and lines of runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from invoke.exceptions import Exit
from jsonschema import Draft202012Validator

from analysis.week.recorded import RecordedLine, run_line, tuned_line
from collect.account import Account, Scrutiny
from collect.diary import file as diary_file
from collect.diary.entries import entries_of
from collect.diary.file import LogFile
from collect.diary.keep import RunLink, add_entry, add_goal, add_run
from collect.diary.patch import Wish
from core import edited_file
from core.errors import HerdError
from tests.doubles.run_folder import make_run
from verbs import diary
from verbs.json_answers import file_of

PROJECT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 25)
MOMENT = datetime(2026, 11, 25, 16, 40).astimezone()
LINK = RunLink("scaling-1", Path("/reports/scaling-1/index.html"))
WRITER = """
import sys
from datetime import date
from pathlib import Path
from collect.diary.entries import entries_of
from collect.diary.file import LogFile
from collect.diary.keep import add_entry
file = LogFile(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    add_entry(file, f"entry {sys.argv[2]}-{number}.", date(2026, 11, 25), "14:05")
"""


@pytest.fixture
def file(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "study")


def writer(file: LogFile, name: str, entries: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", WRITER, str(file.folder), name, str(entries)]
    return subprocess.Popen(words, cwd=PROJECT)


def test_what_many_write_at_once_is_all_there(file: LogFile) -> None:
    writers = [writer(file, name, 8) for name in "abcd"]
    assert [one.wait(timeout=120) for one in writers] == [0] * 4
    text = file.path.read_text()
    for name in "abcd":
        places = [text.index(f"entry {name}-{number}.") for number in range(8)]
        assert places == sorted(places)
    assert text.count("### 2026-11-25") == 1


def test_a_writer_that_is_killed_leaves_a_whole_log(file: LogFile) -> None:
    add_goal(file, Wish("final", "stays"), TODAY)
    for wait_s in (0.5, 0.7, 0.9, 1.1):
        one = writer(file, f"k{wait_s}", 10_000)
        time.sleep(wait_s)
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        text = file.path.read_text()
        assert text.startswith("# Research log\n")
        assert "#1 stays" in text
        assert text.endswith("\n")
        assert all(line.endswith(".") for line in text.splitlines() if line.startswith("- 14"))
    add_entry(file, "after", TODAY)
    assert file.path.read_text().endswith("- after\n")


def test_what_an_editor_saves_meanwhile_is_kept(
    file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(file, "first", TODAY)
    saved = []

    def land(temporary: Path, content: bytes) -> None:
        write(temporary, content)
        if len(saved) < 2:
            saved.append(f"- saved by an editor {len(saved)}\n")
            file.path.write_text(file.path.read_text() + saved[-1])

    write = edited_file.write_file
    monkeypatch.setattr(edited_file, "write_file", land)
    add_entry(file, "second", TODAY)
    assert file.path.read_text().endswith(f"- first\n{''.join(saved)}- second\n")
    assert len(saved) == 2


def test_a_file_that_is_saved_each_time_is_given_up(
    file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entry(file, "first", TODAY)
    write = edited_file.write_file

    def land(temporary: Path, content: bytes) -> None:
        write(temporary, content)
        file.path.write_text(file.path.read_text() + "x")

    monkeypatch.setattr(edited_file, "write_file", land)
    with pytest.raises(HerdError, match=r"log.md was saved by another program each time"):
        add_entry(file, "second", TODAY)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n", r"line 2: a conflict .*<<<<<<< HEAD"),
        (b"a\r\n\r\n>>>>>>> topic\r\n", "line 3: a conflict"),
        (b"\xef\xbb\xbf<<<<<<<\n", "line 1: a conflict"),
        ("a\n일지\n".encode("cp949"), "line 2: this is not UTF-8"),
        ("일지\n".encode("utf-16"), "line 1: this is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(
    file: LogFile, content: bytes, what: str
) -> None:
    file.folder.mkdir()
    file.path.write_bytes(content)
    for change in (lambda: add_entry(file, "x", TODAY), file.read):
        with pytest.raises(HerdError, match=rf"log.md, {what}"):
            change()
    assert file.path.read_bytes() == content


def test_a_heading_with_equals_signs_is_no_conflict(file: LogFile) -> None:
    file.folder.mkdir()
    file.path.write_text("Diary\n=======\n\na < b\n")
    add_entry(file, "x", TODAY)
    assert file.path.read_text().startswith("Diary\n=======\n\na < b\n\n## 2026-11-25 (Wed)\n")


def test_a_log_that_is_a_link_stays_one_and_keeps_its_mode(file: LogFile, tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("## Diary\n")
    notes.chmod(0o600)
    file.folder.mkdir()
    file.path.symlink_to(notes)
    add_entry(file, "x", TODAY)
    assert file.path.is_symlink()
    assert notes.read_text().endswith("- x\n")
    assert notes.stat().st_mode & 0o777 == 0o600


def test_a_log_that_a_person_made_read_only_is_left_alone(file: LogFile) -> None:
    add_entry(file, "first", TODAY)
    before = file.path.read_bytes()
    file.path.chmod(0o444)
    with pytest.raises(
        HerdError, match=r"log\.md is read-only\. The log is as it was\. .*chmod u\+w"
    ):
        add_entry(file, "second", TODAY)
    assert file.path.read_bytes() == before
    assert not list(file.folder.glob(".tmp-*"))
    file.path.chmod(0o644)
    add_entry(file, "second", TODAY)


def test_another_writer_that_hangs_is_named(file: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diary_file, "LOCK_SECONDS", 0.1)
    add_entry(file, "first", TODAY)
    before = file.path.read_bytes()
    with file._file.alone(), pytest.raises(HerdError, match="Another `fab` has been writing"):
        add_entry(file, "second", TODAY)
    assert file.path.read_bytes() == before


def test_the_line_of_a_run_is_written_once_for_all_time(file: LogFile) -> None:
    assert add_run(file, LINK, "run", "How fast? Two nodes are faster.", MOMENT)
    line = "- 16:40 Run [scaling-1](../../../reports/scaling-1/index.html): How fast? Two nodes"
    text = file.path.read_text()
    for edited in (
        text,
        text.replace("Run [scaling-1]", "Measured [scaling-1]"),
        text.replace("scaling-1", "the run of today"),
        "\n".join(one for one in text.splitlines() if "scaling-1" not in one),
    ):
        file.path.write_text(edited)
        assert not add_run(file, LINK, "run", "How fast? Two nodes are faster.", MOMENT)
        assert file.path.read_text() == edited
    assert line.split("(", maxsplit=1)[0] in text


def test_a_kill_between_the_line_and_its_record_gives_no_second_line(file: LogFile) -> None:
    add_run(file, LINK, "run", "How fast?", MOMENT)
    (file.folder / diary_file.RECORDED_FILE).unlink()
    before = file.path.read_text()
    assert not add_run(file, LINK, "run", "How fast?", MOMENT)
    assert file.path.read_text() == before


def test_the_line_of_a_run_says_what_it_asked_and_found(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    line = run_line(run, "Two nodes are *faster* [x](y).\nAnd a second line.")
    account = Account.read(run, Scrutiny.RECORDS)
    counts = account.counts()
    assert (
        f"{len(account.manifest.cells)} cells, {counts['done']} of {counts['planned']}" in line.text
    )
    assert f"{counts['failed']} failed" in line.text
    assert line.text.endswith("Two nodes are \\*faster\\* \\[x\\]\\(y).")
    assert line.moment.timestamp() > account.manifest.created_at


def test_a_long_verdict_ends_with_a_whole_clause(tmp_path: Path) -> None:
    run = make_run(tmp_path, nodes=(1,), repeats=1)
    clause = "Two nodes are 1.77 (1.67-1.83) times as fast as one; "
    assert run_line(run, clause * 20).text.endswith("times as fast as one; …")
    assert run_line(run, clause).text.endswith("times as fast as one;")
    assert run_line(run, "word " * 100).text.endswith("word…")


def test_a_tuned_model_that_is_trained_again_gets_another_line(file: LogFile) -> None:
    for moment in (1_795_000_000.0, 1_795_900_000.0):
        line = tuned_line("stories15m", 200, "0.9 bits per byte before, 0.8 after.", moment)
        name = f"korean, {line.moment:%Y-%m-%d %H:%M:%S}"
        assert add_run(file, RunLink(name, Path("/m/tuned.json")), "model", line.text, line.moment)
        assert not add_run(file, RunLink(name, Path("/m/x")), "model", line.text, line.moment)
    assert file.path.read_text().count("Model [korean, ") == 2


def made() -> tuple[RunLink, RecordedLine]:
    return LINK, RecordedLine("How fast?", MOMENT)


def test_a_run_adds_its_line_unless_that_is_switched_off(
    file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_STUDY", str(file.folder))
    diary.record("run", made, wanted=False)
    monkeypatch.setenv(diary.SWITCH, "off")
    diary.record("run", made, wanted=True)
    assert not file.path.exists()
    monkeypatch.delenv(diary.SWITCH)
    diary.record("run", made, wanted=True)
    assert "[scaling-1]" in file.path.read_text()


@pytest.mark.parametrize("error", [HerdError("no"), RuntimeError("bad"), KeyboardInterrupt()])
def test_a_log_that_fails_costs_nothing(
    file: LogFile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    monkeypatch.setenv("LLAMA_HERD_STUDY", str(file.folder))

    def broken() -> tuple[RunLink, RecordedLine]:
        raise error

    diary.record("run", broken, wanted=True)
    file.folder.mkdir()
    file.path.mkdir()  # nothing can be written there
    diary.record("run", made, wanted=True)
    told = capsys.readouterr()
    assert told.err.count("The research log was not written") == 2
    assert told.out == ""


def test_show_prints_a_week_for_people_and_for_programs(
    file: LogFile, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(file.folder)
    log = diary.log.body
    log(None, word=["goal", "Measure"], week="W48", study=study)
    log(None, word=["today", "Set", "up"], day="2026-11-25", study=study)
    log(None, word=["question", "Why?"], study=study)
    log(None, word=["done", "1"], study=study)
    capsys.readouterr()
    log(None, word=["show"], week="2026-W48", json=True, study=study)
    answer = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(file_of("log").read_text())).validate(answer)
    assert answer["days"] == [
        {"day": "2026-11-25", "entries": [{"sort": "item", "text": "Set up", "depth": 0}]}
    ]
    log(None, word=["show"], week="2026-W48", study=study)
    assert "Goals of the week\n  [x] #1 Measure (done " in capsys.readouterr().out
    log(None, word=["show"], day="2026-11-25", study=study)
    assert capsys.readouterr().out == "2026-11-25 (Wed)\n  - Set up\n"


@pytest.mark.parametrize(
    ("words", "flags", "what"),
    [
        (["wrote"], {}, "write one of today, goal"),
        (["today", "x"], {"final": True}, "today has no --final; it is for goal"),
        (["goal", "x"], {}, "give one of --week, --intermediate and --final"),
        (["goal", "x"], {"week": "this", "final": True}, "give one of"),
        (["goal", "x"], {"final": True, "by": "2020-01-01"}, "that day is past"),
        (["finding", "x"], {"run": ["nowhere"]}, "nowhere"),
        (["show", "x"], {}, "give --week"),
        (["show"], {"lang": "fr"}, "--lang .fr.: it must be one of en, ko or both"),
    ],
)
def test_what_a_command_line_may_not_say_is_named(
    file: LogFile, words: list[str], flags: dict[str, object], what: str
) -> None:
    with pytest.raises(Exit, match=what):
        diary.log.body(None, word=words, study=str(file.folder), **flags)
    assert not file.path.exists()


def test_a_name_of_a_run_that_looks_like_a_link_is_none(file: LogFile) -> None:
    name = "a](javascript:x)[b`*c*`"
    link = RunLink(name, file.folder.parent / "reports" / name / "index.html")
    for _ in range(2):
        add_run(file, link, "run", "How fast?", MOMENT)
        (file.folder / diary_file.RECORDED_FILE).unlink(missing_ok=True)
    (entry,) = entries_of(file.read(), TODAY)
    assert entry.text == f"16:40 Run {name}: How fast?"
    assert file.path.read_text().count("16:40 Run") == 1


def test_two_years_of_entries_are_read_and_written_in_seconds(file: LogFile) -> None:
    days = [TODAY - timedelta(days=back) for back in range(730, 0, -1)]
    entries = "".join(f"- 14:0{n} entry {n} with `code` and [a link](x.html)\n" for n in range(8))
    file.folder.mkdir()
    file.path.write_text("## Diary\n\n" + "".join(f"### {day}\n\n{entries}\n" for day in days))
    began = time.process_time()
    add_entry(file, "one more", TODAY)
    assert time.process_time() - began < 10
    assert entries_of(file.read(), TODAY)[0].text == "one more"
