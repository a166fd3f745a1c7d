"""`fab watch`: what it finds out about a run from its files, and what it must not do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from analysis.live import follower as follower_module
from analysis.live import site as site_module
from analysis.live.drawing import draw_charts
from analysis.live.follower import Follower
from analysis.live.left import Pending, time_left, time_left_of
from analysis.live.page import command_of, rest, top
from analysis.live.site import LiveSite
from analysis.live.state import LiveState, RunPhase, phase_of
from analysis.live.watch import watch
from collect.account import Account, Scrutiny
from collect.following import Following
from collect.live import LIVE_FILE, Live, LiveNote, LiveTrial, read_live
from core.errors import HerdError
from core.local_site.answers import Content, RefusedError
from core.process import ProcessMark
from experiments.sessions.live import WrittenProgress
from experiments.sessions.progress import RunningTrial, make_progress
from tests.benchmarks.time_left import Truth, share_held
from tests.doubles.run_folder import make_run
from tests.doubles.watched_run import running

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m{{ 7*7 }}\u202e</script>"


def follow(
    follower: Follower, until: Callable[[LiveState], bool], *, most_s: float = 60
) -> LiveState:
    """Look again and again until the state is so."""
    end = time.monotonic() + most_s
    while not until(follower.state):
        assert time.monotonic() < end, follower.state
        follower.look()
        time.sleep(0.05)
    return follower.state


def is_phase(phase: RunPhase) -> Callable[[LiveState], bool]:
    return lambda state: state.phase is phase


def text_of(answer: Content) -> str:
    return answer.content.decode()


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder, with its size and times of change."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found.items()}


def make_live(results: Path, run: str, **changed: object) -> Live:
    """What a runner wrote; by default this process, which measures the first trial."""
    trial = LiveTrial(order=1, cell="a cell", attempt=1, since=time.time() - 3, tokens_per_s=12.5)
    values = {"run": run, "runner": ProcessMark.me(), "began": 1.0, "trial": trial, **changed}
    live = Live.model_validate(values)
    (results / LIVE_FILE).write_text(live.model_dump_json())
    return live


ELSEWHERE = ProcessMark.me().model_copy(update={"boot": "another", "host": "elsewhere"})
DEAD = ProcessMark.me().model_copy(update={"started": 1})


# -- a run that is killed and continued


def test_a_run_is_followed_from_before_it_begins_through_a_kill_to_its_end(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "results", tmp_path / "reports")
    assert "Reading what was measured so far" in page_text(follower.state)
    follower.look()
    assert follower.state.phase is RunPhase.WAITING

    with running(tmp_path, 0.3, 3) as process:
        state = follow(follower, lambda state: bool(state.live and state.live.trial))
        assert state.phase is RunPhase.MEASURING
        assert state.folder is not None
        state = follow(follower, lambda state: bool(state.account and done(state) >= 2))
        assert state.left is not None
        process.kill()
        process.wait()
    state = follow(follower, is_phase(RunPhase.STOPPED))
    told = page_text(state)
    assert "Stopped: " in told
    assert "fab run-matrix --matrix &#39;my study.yml&#39;" in told
    before = done(state)

    with running(tmp_path, 0.3, 3) as process:
        state = follow(follower, is_phase(RunPhase.MEASURING))
        assert done(state) >= before
        assert process.wait(60) == 0
    state = follow(follower, is_phase(RunPhase.FINISHED))
    assert state.account is not None
    assert state.account.counts() == {
        "planned": 9, "done": 6, "failed": 0, "unavailable": 3, "pending": 0,
    }  # fmt: skip
    told = page_text(state)
    assert "Finished: all 6 trials have ended" in told
    assert f"fab report --run {state.folder.name}" in told  # type: ignore[union-attr]


def done(state: LiveState) -> int:
    return state.account.counts()["done"] if state.account else 0


def page_text(state: LiveState) -> str:
    """The whole page of a state."""
    follower = Follower(Path(), Path())
    follower.state = state
    return text_of(LiveSite(follower).get("", ""))


def test_a_run_that_ended_before_anybody_watched_is_not_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results")
    make_live(tmp_path / "results", run.name, runner=DEAD)
    follower = Follower(tmp_path / "results", tmp_path)
    follower.look()
    follower.look()
    assert follower.state.phase is RunPhase.WAITING
    named = Follower(tmp_path / "results", tmp_path, run.name)
    named.look()
    assert named.state.phase is RunPhase.FINISHED


def test_the_next_run_is_shown_after_the_one_before(tmp_path: Path) -> None:
    results = tmp_path / "results"
    first = make_run(results, pending=[("llama.cpp", 1, 1)])
    make_live(results, first.name, runner=DEAD)
    follower, named = Follower(results, tmp_path), Follower(results, tmp_path, first.name)
    assert follow(follower, is_phase(RunPhase.STOPPED)).folder == first
    second = make_run(results, name="second", pending=[("llama.cpp", 1, 1)])
    make_live(results, second.name, began=2.0)
    assert follow(follower, is_phase(RunPhase.MEASURING)).folder == second
    named.look()
    assert (named.state.phase, named.state.folder) == (RunPhase.STOPPED, first)


# -- what a runner says


@pytest.mark.parametrize(
    ("live", "left", "phase"),
    [
        ({}, 1, RunPhase.MEASURING),
        ({"ended": 5.0}, 1, RunPhase.ENDING),
        ({"runner": DEAD}, 1, RunPhase.STOPPED),
        ({"runner": DEAD, "ended": 5.0}, 1, RunPhase.STOPPED),
        ({"runner": DEAD, "ended": 5.0}, 0, RunPhase.FINISHED),
        ({"runner": ELSEWHERE}, 1, RunPhase.MEASURING),
        ({"runner": ELSEWHERE, "ended": 5.0}, 1, RunPhase.STOPPED),
    ],
)
def test_where_a_run_is(
    tmp_path: Path, live: dict[str, object], left: int, phase: RunPhase
) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)][:left])
    account = Account.read(run, Scrutiny.RECORDS)
    assert phase_of(account, make_live(tmp_path, run.name, **live)) is phase


def test_another_process_with_the_same_number_is_not_the_runner() -> None:
    me = ProcessMark.me()
    assert me.lives() is True
    assert me.model_copy(update={"started": me.started + 1}).lives() is False
    assert me.model_copy(update={"boot": "another"}).lives() is False
    assert me.model_copy(update={"boot": "another", "host": "elsewhere"}).lives() is None
    child = subprocess.Popen(["sleep", "60"])
    mark = ProcessMark.of(child.pid)
    assert mark.lives() is True
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert mark.lives() is False, "one that nobody waited for is no more"
    child.wait()
    assert mark.lives() is False


def test_the_runner_writes_what_it_does_and_a_full_disk_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = WrittenProgress(make_progress(Console(quiet=True)), tmp_path)
    progress.note("before")
    assert read_live(tmp_path) is None
    counts = {"planned": 9, "done": 0, "failed": 0, "unavailable": 0, "pending": 9}
    progress.begin("run", counts, None)
    progress.step(RunningTrial("a cell", 3, 9, 1))
    progress.live(41.5)
    live = read_live(tmp_path)
    assert live is not None
    assert live.trial is not None
    assert (live.trial.order, live.trial.tokens_per_s, live.ended) == (3, 41.5, None)
    for number in range(30):
        progress.note(f"{HOSTILE} {number}" * 100)
    progress.settled(counts, None)
    progress.end()
    live = read_live(tmp_path)
    assert live is not None
    assert live.trial is None
    assert live.ended is not None
    assert len(live.notes) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == [LIVE_FILE]

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    progress.step(RunningTrial("a cell", 4, 9, 1))
    assert read_live(tmp_path) == live
    assert sorted(path.name for path in tmp_path.iterdir()) == [LIVE_FILE]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_read_as_a_word_of_the_runner(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path / "results", pending=[("llama.cpp", 1, 1)])
    path = tmp_path / "results" / LIVE_FILE
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
        (tmp_path / "secret").write_text("hf_token")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    follower = Follower(tmp_path / "results", tmp_path, run.name)
    follower.look()
    told = page_text(follower.state)
    assert "no run needs it" in told
    assert "hf_token" not in told


def test_a_page_is_over_only_with_the_last_charts(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    follower = Follower(tmp_path, tmp_path, run.name)
    follower.look()
    assert follower.state.phase is RunPhase.FINISHED
    assert not follower.state.is_over
    follower.draw()
    assert follower.state.is_over
    assert "data-over" in page_text(follower.state)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"run": "../x"}', b"x" * 2**21])
def test_a_damaged_word_of_the_runner_is_told_and_the_run_is_still_shown(
    tmp_path: Path, content: bytes
) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    (tmp_path / LIVE_FILE).write_bytes(content)
    follower = Follower(tmp_path, tmp_path, run.name)
    follower.look()
    assert follower.state.phase is RunPhase.STOPPED
    assert "no run needs it" in page_text(follower.state)


# -- reading as little as possible


def test_only_new_attempts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "results", repeats=2)
    attempts = sorted((run / "attempts").iterdir())
    kept = tmp_path / attempts[-1].name
    attempts[-1].rename(kept)
    read: list[str] = []
    from collect import account as account_module  # noqa: PLC0415 - patched here

    load = account_module.load_attempt

    def counted(folder: Path, *, closely: bool = True) -> object:
        read.append(folder.name)
        return load(folder, closely=closely)

    monkeypatch.setattr(account_module, "load_attempt", counted)
    following = Following(run)
    assert following.look()
    assert len(read) == len(attempts) - 1
    read.clear()
    assert not following.look()
    kept.rename(attempts[-1])
    assert following.look()
    assert read == [attempts[-1].name]
    assert following.account == Account.read(run)


def test_a_folder_that_cannot_be_read_is_shown_and_followed_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    whole = (run / "run.json").read_bytes()
    follower = Follower(tmp_path, tmp_path, run.name)
    follower.look()
    assert follower.state.phase is RunPhase.STOPPED
    assert "The runner has ended. What was measured is safe." in page_text(follower.state)
    (run / "run.json").write_bytes(whole[:100])
    state = follow(follower, is_phase(RunPhase.DAMAGED))
    told = page_text(state)
    assert "damaged or from another version" in told
    assert "is safe" not in told
    assert "cannot be read" in told
    make_live(tmp_path, run.name)
    told = page_text(follow(follower, is_phase(RunPhase.MEASURING)))
    assert "Measuring; the run&#39;s folder cannot be read" in told
    (tmp_path / LIVE_FILE).unlink()
    (run / "run.json").write_bytes(whole)
    follow(follower, is_phase(RunPhase.STOPPED))
    shutil.rmtree(run / "attempts")
    (run / "attempts").symlink_to(tmp_path)
    assert "is a link" in page_text(follow(follower, is_phase(RunPhase.DAMAGED)))


def test_an_attempt_that_is_torn_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    attempt = min((run / "attempts").iterdir())
    next(attempt.glob("*.out")).write_bytes(b"")
    follower = Follower(tmp_path, tmp_path, run.name)
    follower.look()
    follower.draw()
    assert "is missing or not the" in page_text(follower.state)


def test_nothing_is_written_locked_started_or_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    make_live(tmp_path, run.name)
    before = tree(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not by a program that only looks")

    for module, name in (
        (fcntl, "flock"), (fcntl, "lockf"), (socket.socket, "connect"), (subprocess, "Popen"),
        (os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "mkdir"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    follower = Follower(tmp_path, tmp_path / "reports")
    follower.look()
    follower.draw()
    assert page_text(follower.state)
    assert follower.state.drawn is not None
    assert tree(tmp_path) == before


# -- charts


def test_charts_are_drawn_when_a_trial_has_ended_and_not_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, repeats=2, pending=[("llama.cpp", 1, 1)])
    make_live(tmp_path, run.name)
    times: list[int] = []

    def counted(account: Account, language: str) -> object:
        times.append(account.counts()["done"])
        return draw_charts(account, language)

    monkeypatch.setattr(follower_module, "draw_charts", counted)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    follower.draw()
    follower.draw()
    assert len(times) == 1, "no trial has ended since"
    assert "Sources:" not in page_text(follower.state)
    gone = min((run / "attempts").iterdir())
    gone.rename(tmp_path / "gone")
    follow(follower, lambda state: state.version > 2)
    follower.draw()
    assert len(times) == 1, "it is not time"
    drawn = follower.state.drawn
    assert drawn is not None
    assert drawn.next_at - drawn.at >= 50 * drawn.cpu_s
    make_live(tmp_path, run.name, runner=DEAD)
    follow(follower, is_phase(RunPhase.STOPPED))
    follower.draw()
    assert len(times) == 2, "nothing is measured that drawing could disturb"


def test_what_cannot_be_drawn_is_said_and_the_rest_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)

    def broken(_account: Account, _language: str) -> None:
        raise ZeroDivisionError(HOSTILE)

    monkeypatch.setattr(follower_module, "draw_charts", broken)
    follower = Follower(tmp_path, tmp_path, run.name)
    follower.look()
    follower.draw()
    told = page_text(follower.state)
    assert "The charts cannot be drawn: ZeroDivisionError" in told
    assert "<img" not in told
    follower.look()
    assert "cannot be drawn" in page_text(follower.state)


# -- the page


def test_the_page_shows_what_others_wrote_as_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    attempt = next(p for p in sorted((run / "attempts").iterdir()) if failed(p))
    record = json.loads((attempt / "attempt.json").read_text())
    (attempt / "attempt.json").write_text(json.dumps({**record, "cause": HOSTILE}))
    plan = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**plan, "title": HOSTILE}))
    note = LiveNote(at=1.0, text=HOSTILE)
    trial = LiveTrial(order=10_000, cell=HOSTILE, attempt=1, since=1.0)
    make_live(tmp_path, run.name, notes=(note,), trial=trial)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    follower.draw()
    told = page_text(follower.state)
    assert "<img" not in told
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "49" not in told.split("<main>")[0]
    assert told.count("&lt;img src=x onerror=alert(1)&gt;\\x1b[31m{{ 7*7 }}\\u202e") >= 4


def failed(attempt: Path) -> bool:
    return json.loads((attempt / "attempt.json").read_text())["outcome"] == "failed"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("fab", "run-matrix", "--new", "--nodes", "1,2"), "fab run-matrix --nodes 1,2"),
        (("fab", "compare", "a b; rm x"), "fab compare 'a b; rm x'"),
        (("rm", "-rf", "/"), None),
        (("fab", "lab-down"), None),
        (("fab",), None),
        ((), None),
    ],
)
def test_only_a_command_that_measures_is_offered(
    command: tuple[str, ...], shown: str | None
) -> None:
    assert command_of(command) == shown


def test_of_a_run_with_nothing_the_page_promises_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.rmtree(run / "attempts")
    (run / "attempts").mkdir()
    make_live(tmp_path, run.name)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    follower.draw()
    told = page_text(follower.state)
    assert "known after the first trial" in told
    assert "Charts appear when the first trial has ended." in told


def test_before_charts_of_ended_trials_are_drawn_none_is_promised_for_later(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    make_live(tmp_path, run.name)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    told = page_text(follower.state)
    assert "The charts are being drawn." in told
    assert "Charts appear when the first trial has ended." not in told


# -- the site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LiveSite]:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    make_live(tmp_path, run.name)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    return LiveSite(follower)


def test_only_the_page_and_its_parts_are_served(site: LiveSite, tmp_path: Path) -> None:
    for path in ("", "now", "page.css", "page.js", "korean.ttf"):
        assert site.get(path, "").content
    for path in ("run.json", "../run.json", "results", "closed/", ".live.json", "index.html"):
        with pytest.raises(RefusedError):
            site.get(path, "")
    with pytest.raises(RefusedError):
        site.post("now", b"")
    whole = text_of(site.get("", ""))
    assert str(tmp_path) not in whole
    assert "http" not in whole.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_korean_page_has_korean_words_charts_and_a_font(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    make_live(tmp_path, run.name)
    follower = Follower(tmp_path, tmp_path, language="ko")
    follower.look()
    follower.draw()
    korean = LiveSite(follower, "ko")
    told = text_of(korean.get("", ""))
    assert '<html lang="ko">' in told
    assert "측정 중: 시행 21회 중 20회 종료" in told
    assert "노드" in told.partition("<svg")[2].partition("</svg>")[0]
    assert "<style" not in told, "the policy of the page allows none"
    assert 'url("korean.ttf")' in text_of(korean.get("page.css", ""))
    assert "korean.ttf" not in text_of(LiveSite(follower).get("page.css", ""))


def test_a_page_that_has_the_rest_gets_the_head_alone(site: LiveSite) -> None:
    whole = text_of(site.get("now", "version=x&client=a"))
    version = whole.partition('data-version="')[2].partition('"')[0]
    head = text_of(site.get("now", f"version={version}&client=a"))
    assert 'id="cells"' in whole
    assert 'id="cells"' not in head
    assert 'id="now"' in head
    assert len(head) < 8000


@pytest.mark.parametrize(
    "query", ["client=" + "x" * 5000, "client=<q>", "&&&", "%ff=%00", "version"]
)
def test_an_odd_query_is_no_harm(site: LiveSite, query: str) -> None:
    assert "<q>" not in text_of(site.get("now", query))


def test_it_ends_when_every_page_has_seen_the_end(
    site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "AFTER_S", 0.05)
    follower = site._follower
    site.get("now", "client=a")
    site.get("now", "client=b")
    site.get("now", "client=c")
    assert not site.is_done()
    follower.state = LiveState(RunPhase.FINISHED, 9)
    assert not site.is_done()
    site.get("now", "client=a")
    site.get("closed", "client=c")
    time.sleep(0.1)
    assert not site.is_done(), "b has not seen it"
    site.get("now", "client=b")
    time.sleep(0.1)
    assert site.is_done()


def test_it_ends_after_a_stated_time_if_nobody_looks(
    site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "LINGER_S", 0.05)
    site._follower.state = LiveState(RunPhase.FINISHED, 9)
    assert not site.is_done()
    time.sleep(0.1)
    assert site.is_done()
    site._follower.state = LiveState(RunPhase.MEASURING, 10)
    assert not site.is_done(), "the run continues after all"


# -- the verb


def test_a_run_that_does_not_exist_and_a_port_that_is_taken_are_told(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in ("nothing", "../x", "a/b", ".."):
        with pytest.raises(HerdError, match=r"There is no run `nothing`|cannot be a run"):
            watch(tmp_path / "results", tmp_path, print, run=name)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HerdError, match="Give another --port"):
            watch(tmp_path / "results", tmp_path, print, port=port)


def test_it_prints_the_tunnel_and_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "LINGER_S", 0.0)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 2222")
    results, reports = tmp_path / "results", tmp_path / "reports"
    run = make_run(results)
    (reports / run.name).mkdir(parents=True)
    (reports / run.name / "index.html").write_text("")
    said: list[str] = []
    before = threading.active_count()
    watch(results, reports, said.append, run=run.name)
    (port,) = {line.split(":")[2].split("/")[0] for line in said if line.startswith("Open http")}
    (tunnel,) = [line.strip() for line in said if "ssh" in line]
    assert tunnel.startswith(f"ssh -N -L {port}:127.0.0.1:{port} -p 2222 ")
    assert tunnel.endswith("@192.0.2.1")
    assert said[-1] == (
        f"The run {run.name} has ended. Report: {reports / run.name / 'index.html'}"
    )
    end = time.monotonic() + 20
    while threading.active_count() > before + 1:
        assert time.monotonic() < end, threading.enumerate()
        time.sleep(0.1)


# -- the time left


def test_the_time_left_holds_the_truth_as_often_as_it_says() -> None:
    for truth in (Truth(16, 6, 0.7, 0.1, 0.1), Truth(3, 6, 1.2, 0.3)):
        assert share_held(truth, 1.0, runs=60) >= 0.85


def test_the_time_left_is_known_exactly_where_trials_do_not_vary() -> None:
    seen = {"a": [10.0] * 30, "b": [1.0] * 30}
    left = time_left(Pending(seen, {"a": 10, "b": 20}, gap_s=0.5))
    assert left is not None
    assert left.likely == pytest.approx(10 * 10 + 20 * 1 + 30 * 0.5, rel=0.02)
    assert 0 < left.high - left.low < 20
    later = left.after(8.0, "a")
    assert later.likely == pytest.approx(left.likely - 8)
    assert not later.is_late
    late = left.after(1e6, "a")
    assert late.is_late
    assert late.likely == pytest.approx(left.likely - 10, abs=3), "the others are still to come"


def test_a_trial_that_takes_longer_than_expected_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    account = Account.read(run, Scrutiny.RECORDS)
    (order,) = (one.trial.order for one in account.trials if one.state == "pending")
    trial = LiveTrial(order=order, cell="a cell", attempt=1, since=time.time() - 3600)
    make_live(tmp_path, run.name, trial=trial)
    follower = Follower(tmp_path, tmp_path)
    follower.look()
    assert "the trial at work takes longer than those before it" in page_text(follower.state)


def test_before_the_first_trial_nothing_is_known_of_the_time_left(tmp_path: Path) -> None:
    assert time_left(Pending({}, {"a": 3})) is None
    run = make_run(tmp_path)
    account = Account.read(run, Scrutiny.RECORDS)
    left = time_left_of(account, 0.0)
    assert left is not None
    assert left.high == 0, "nothing is pending"


def test_the_head_and_the_rest_of_every_phase_can_be_made(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 1)])
    account = Account.read(run)
    for phase in RunPhase:
        state = LiveState(phase, 1, run, account, make_live(tmp_path, run.name), report=tmp_path)
        assert top(state, time.time()).title
        assert rest(state)
