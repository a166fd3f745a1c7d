"""Whole runs with plugs that are read more often than in runs, and what is seen of them."""

from __future__ import annotations

from typing import Any

import pytest

from collect.attempt import AttemptRecord, load_attempt
from experiments.plugs import kinds, watch
from experiments.runner import RunResult


def hurry(patch: pytest.MonkeyPatch, every_s: float) -> None:
    """Read plugs so often, instead of once a second, and wait less for an answer."""
    patch.setattr(watch, "IDLE_READINGS", 3)
    patch.setattr(watch, "EVERY_S", every_s)
    patch.setattr(kinds, "DEADLINE_S", 0.3)


def noted_windows(patch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The windows that plugs are asked for from now on: begin and end, in seconds."""
    windows: list[tuple[float, float]] = []
    between = watch.PlugWatch.between

    def noting(self: watch.PlugWatch, begun_s: float, ended_s: float, *given: Any) -> Any:  # noqa: ANN401 - passed on
        windows.append((begun_s, ended_s))
        return between(self, begun_s, ended_s, *given)

    patch.setattr(watch.PlugWatch, "between", noting)
    return windows


def attempts(result: RunResult) -> list[AttemptRecord]:
    """The attempts of a run, by name."""
    return [load_attempt(path) for path in sorted((result.folder / "attempts").iterdir())]
