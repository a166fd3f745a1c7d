"""Writing down what a runner does at the moment, for `fab watch`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from collect.attempt import TEMPORARY_PREFIX
from collect.live import LIVE_FILE, MOST_NOTES, Live, LiveNote, LiveTrial
from core.foreign import one_line
from core.process import ProcessMark
from core.record import open_regular
from experiments.sessions.progress import Progress, RunningTrial

LONGEST_NOTE = 1000
LONGEST_CELL = 400


class WrittenProgress:
    """Passes all on, and writes it to `results/.live.json`.

    That file is replaced whole, without waiting for the disk: it is of use only while the runner
    lives. A run never fails because of it.

    Args:
        progress: hears the same.
        results: folder of all runs, which this process owns.
    """

    def __init__(self, progress: Progress, results: Path) -> None:
        self._progress = progress
        self._results = results
        self._runner = ProcessMark.me()
        self._live: Live | None = None

    def begin(self, run: str, counts: Mapping[str, int], left_s: float | None) -> None:
        """Name the run."""
        self._progress.begin(run, counts, left_s)
        with suppress(ValidationError):
            self._live = Live(run=run, runner=self._runner, began=time.time())
        self._change()

    def step(self, step: RunningTrial) -> None:
        """Name the trial."""
        self._progress.step(step)
        with suppress(ValidationError):
            cell = one_line(step.cell, LONGEST_CELL)
            self._change(
                trial=LiveTrial(
                    order=step.trial, cell=cell, attempt=step.attempt, since=time.time()
                )
            )

    def live(self, tokens_per_s: float | None) -> None:
        """Add the rate."""
        self._progress.live(tokens_per_s)
        trial = self._live and self._live.trial
        if trial is not None:
            self._change(trial=trial.model_copy(update={"tokens_per_s": tokens_per_s}))

    def settled(self, counts: Mapping[str, int], left_s: float | None) -> None:
        """No trial is at work."""
        self._progress.settled(counts, left_s)
        self._change(trial=None)

    def note(self, text: str) -> None:
        """Keep the latest ones."""
        self._progress.note(text)
        if self._live is not None:
            told = LiveNote(at=time.time(), text=one_line(text, LONGEST_NOTE))
            self._change(notes=(*self._live.notes, told)[-MOST_NOTES:])

    def end(self) -> None:
        """Say that nothing is measured any more."""
        self._progress.end()
        self._change(trial=None, ended=time.time())

    def _change(self, **fields: object) -> None:
        if self._live is None:
            return
        self._live = self._live.model_copy(update=fields)
        with suppress(OSError):
            _replace(self._results, self._live.model_dump_json().encode())


def _replace(results: Path, content: bytes) -> None:
    """Replace the file whole. Raises OSError; then the one before stays."""
    temporary = results / f"{TEMPORARY_PREFIX}{LIVE_FILE}"
    try:
        descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        temporary.replace(results / LIVE_FILE)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
