"""A run's account kept up to date while a runner adds to it: only what is new is read.

Nothing is written and no lock is taken. Whether there is anything new is seen from the times at
which the folders were changed, so that a look at a run where nothing happened costs microseconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from collect.account import Account, Scrutiny
from collect.later import LATER_FOLDER
from collect.load import load_run
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from core.errors import HerdError

SETTLED_S = 2.0
"""File systems give changes within some milliseconds one time, so a folder that was changed just
now is looked through again."""

Stamp = tuple[int, ...]
Stamps = tuple[Stamp, ...]


class Following:
    """A run that may be measured at this moment.

    Args:
        folder: `results/<run>`.

    Attributes:
        account: as it was at the last look; None while the folder cannot be read.
        problem: why it cannot be read; None if it can.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account: Account | None = None
        self.problem: str | None = None
        self._plan: RunManifest | None = None
        self._plan_stamps: Stamps = ()
        self._stamps: Stamps = ()

    def look(self) -> bool:
        """Read what is new; whether there was anything."""
        plan_stamps = self._stamp(RUN_FILE, LATER_FOLDER)
        stamps = (*plan_stamps, *self._stamp(ATTEMPTS_FOLDER))
        if stamps == self._stamps:
            return False
        self._stamps = stamps if _are_settled(stamps) else ()
        before = self.account, self.problem
        try:
            if self._plan is None or plan_stamps != self._plan_stamps:
                self._plan_stamps = plan_stamps if _are_settled(plan_stamps) else ()
                self._plan = load_run(self.folder)
            self.account = Account.of(self.folder, self._plan, Scrutiny.LOGS, self.account)
            self.problem = None
        except HerdError as error:
            self._plan = self.account = None
            self.problem = str(error)
        return not _are_same(before, (self.account, self.problem))

    def _stamp(self, *names: str) -> Stamps:
        return tuple(_stamp(self.folder / name) for name in names)


def _stamp(path: Path) -> Stamp:
    """What changes when a file, or the names in a folder, change; empty where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _are_settled(stamps: Stamps) -> bool:
    newest_ns = max((stamp[1] for stamp in stamps if stamp), default=0)
    return time.time_ns() - newest_ns > SETTLED_S * 1e9


def _are_same(
    before: tuple[Account | None, str | None], now: tuple[Account | None, str | None]
) -> bool:
    """Whether nothing was found that was not known."""
    old, new = before[0], now[0]
    if old is None or new is None:
        return before == now
    # A plan that was read again is another object; trials and warnings are compared by content.
    return old.trials == new.trials and old.warnings == new.warnings
