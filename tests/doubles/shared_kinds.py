"""Studies of `KINDS` and their sections, made once for all tests: none changes them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis.blocks import Section
from analysis.sections import sections_of
from analysis.study import Study
from tests.doubles.predicted_run import predicted_study
from tests.doubles.run_kinds import KINDS

PREDICTED = "predicted"
ALL_KINDS = (*KINDS, PREDICTED)


@cache
def study_of_kind(kind: str) -> Study:
    """The study of a kind of run. Its fits are kept with it."""
    if kind == PREDICTED:
        return predicted_study()
    with TemporaryDirectory() as folder:
        return KINDS[kind](Path(folder))


@cache
def sections_of_kind(kind: str) -> tuple[Section, ...]:
    """The sections of its report. Who draws a chart calls `draw`: `figure` would be kept."""
    return tuple(sections_of(study_of_kind(kind)))
