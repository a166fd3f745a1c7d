"""Follows the run that is measured: looks at files, and keeps a state that requests can read.

All reading is done in one thread, and drawing in another one, which has the lowest priority while
something is measured. Requests only print what is there.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.live.drawing import SHARE as DRAWING_SHARE
from analysis.live.drawing import Drawn, draw_charts, settled
from analysis.live.left import time_left_of
from analysis.live.state import LiveState, RunPhase, phase_of
from analysis.text.sentence import say
from collect.following import Following
from collect.live import LIVE_FILE, Live, read_live
from core.errors import HerdError
from core.foreign import one_line
from core.language.choice import ENGLISH

LOOK_S = 1.0
IDLE_S = 5.0
"""Between two looks while no page is open."""
SHARE = 0.005
"""Of one core, for reading attempts, once those that were there have been read."""
LONGEST_PAUSE_S = 60.0
CANNOT_DRAW = "The charts cannot be drawn: {why}"
LOWEST_PRIORITY = 19


@dataclass(slots=True)
class _Watched:
    """The run that is followed.

    Attributes:
        tried: how many trials had ended when charts were drawn last, or could not be.
        next_at: when they may be drawn again.
    """

    following: Following
    drawn: Drawn | None = None
    problem: str | None = None
    tried: int = 0
    next_at: float = 0.0


class Follower:
    """Follows the runs of a results folder.

    Args:
        results: folder of all runs.
        reports: folder of all reports.
        run: name of the one to follow; None for the one that is measured, or the next.
        language: of the charts.
    """

    def __init__(
        self, results: Path, reports: Path, run: str | None = None, language: str = ENGLISH
    ) -> None:
        self._results = results
        self._reports = reports
        self._name = run
        self._language = language
        self._watched: _Watched | None = None
        self._live: Live | None = None
        self._live_stamp: tuple[int, int] | None = None
        self._live_problem: str | None = None
        self._over_before: float | None = None
        self._is_wanted = threading.Event()
        self._painter: threading.Thread | None = None
        self.state = LiveState(RunPhase.READING, 0)

    def want(self) -> None:
        """Say that a page is open: looks come each second, and charts are drawn."""
        self._is_wanted.set()

    def follow(self, stop: threading.Event) -> None:
        """Look again and again until `stop` is set; in a separate thread."""
        is_wanted, next_at, is_first = True, 0.0, True
        while not stop.is_set():
            is_due = time.monotonic() >= next_at
            begun_s = time.thread_time()
            self.look(at_attempts=is_due)
            if is_due and not is_first:
                took_s = time.thread_time() - begun_s
                next_at = time.monotonic() + min(took_s / SHARE, LONGEST_PAUSE_S)
            is_first = False
            if is_wanted and self._may_draw():
                self._painter = threading.Thread(target=self._paint, daemon=True)
                self._painter.start()
            self._is_wanted.clear()
            stop.wait(LOOK_S)
            if not self._is_wanted.is_set():
                self._wait_for_one(stop)
            is_wanted = self._is_wanted.is_set()

    def _wait_for_one(self, stop: threading.Event) -> None:
        """Let time pass while no page is open."""
        end = time.monotonic() + IDLE_S - LOOK_S
        while not stop.is_set() and time.monotonic() < end and not self._is_wanted.wait(LOOK_S):
            pass

    def look(self, *, at_attempts: bool = True) -> None:
        """Read what is new.

        Args:
            at_attempts: not only at what the runner does.
        """
        self._look_at_runner()
        has_news = self._choose()
        watched = self._watched
        if watched is not None and (at_attempts or has_news):
            has_news |= watched.following.look()
        has_news |= watched is not None and watched.drawn is not self.state.drawn
        if watched is None or self._was_over_before(watched):
            waiting, version = RunPhase.WAITING, self.state.version
            self._publish(LiveState(waiting, version, problem=self._live_problem))
            return
        folder, account = watched.following.folder, watched.following.account
        live = self._live if self._live and self._live.run == folder.name else None
        left = self.state.left
        if has_news or (live and live.began != self._began()):
            left = time_left_of(account, live.began) if account and live else None
        problem = watched.following.problem or watched.problem or self._live_problem
        self._publish(
            LiveState(
                phase_of(account, live),
                self.state.version + has_news,
                folder,
                account,
                live,
                problem,
                left,
                self._reports / folder.name / "index.html",
                watched.drawn,
                _lacks_charts(watched),
            )
        )

    def _was_over_before(self, watched: _Watched) -> bool:
        """Whether the run ended before it was watched, so that the next one is waited for."""
        is_first = self.state.folder is None and self._over_before is None
        if self._name is not None or self._live is None or not is_first:
            return False
        if phase_of(watched.following.account, self._live) is not RunPhase.FINISHED:
            return False
        self._over_before, self._watched = self._live.began, None
        return True

    def draw(self) -> None:
        """Draw the charts again, if a trial has ended since and it is time."""
        if self._may_draw():
            self._paint()
        self.look()

    def _may_draw(self) -> bool:
        """Whether a trial has ended that is in no chart, and it is time to draw."""
        watched, account = self._watched, self.state.account
        is_busy = self._painter is not None and self._painter.is_alive()
        if watched is None or account is None or is_busy:
            return False
        is_time = self.state.phase is not RunPhase.MEASURING or time.time() >= watched.next_at
        return is_time and settled(account) != watched.tried

    def _paint(self) -> None:
        """Draw the charts; the next look finds them."""
        watched, account = self._watched, self.state.account
        if watched is None or account is None:
            return
        is_aside = threading.current_thread() is self._painter
        if is_aside and self.state.phase is RunPhase.MEASURING:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        begun_s, at = time.thread_time(), time.time()
        try:
            watched.drawn, watched.problem = draw_charts(account, self._language), None
        except HerdError as error:
            watched.problem = str(error)
        except Exception as error:  # noqa: BLE001 - what was measured may be anything
            watched.problem = say(CANNOT_DRAW, why=one_line(repr(error)))
        watched.next_at = at + (time.thread_time() - begun_s) / DRAWING_SHARE
        watched.tried = settled(account)

    def _publish(self, state: LiveState) -> None:
        """Replace the state; its version grows where more than the trial at work differs."""
        before = self.state
        is_other = (before.phase, before.folder, before.problem, _notes(before)) != (
            state.phase, state.folder, state.problem, _notes(state),
        )  # fmt: skip
        self.state = replace(state, version=state.version + 1) if is_other else state

    def _began(self) -> float | None:
        return self.state.live.began if self.state.live else None

    def _look_at_runner(self) -> None:
        """Read what the runner does, if its file is another one."""
        try:
            found = os.lstat(self._results / LIVE_FILE)
            stamp = (found.st_ino, found.st_mtime_ns)
        except OSError:
            stamp = None
        if stamp is not None and stamp == self._live_stamp:
            return
        self._live_stamp = stamp
        try:
            self._live, self._live_problem = read_live(self._results), None
        except HerdError as error:
            self._live, self._live_problem = None, str(error)

    def _choose(self) -> bool:
        """Decide which run is followed; whether it is another one than before."""
        is_new = self._live is not None and self._live.began != self._over_before
        name = self._name or (self._live.run if self._live and is_new else None)
        is_other = name is not None and (
            self._watched is None or self._watched.following.folder.name != name
        )
        if is_other:
            self._watched = _Watched(Following(self._results / str(name)))
        return is_other


def _lacks_charts(watched: _Watched) -> bool:
    """Whether a trial has ended that can be drawn and is not."""
    account = watched.following.account
    return account is not None and settled(account) != watched.tried


def _notes(state: LiveState) -> object:
    return state.live and (state.live.notes, state.live.ended)
