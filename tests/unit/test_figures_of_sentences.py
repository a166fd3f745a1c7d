"""Every figure of a sentence is in a file next to the report, rounded as it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.blocks import Bullets, Prose, Section, blocks_in, charts_in, files_in
from analysis.sections import (
    cost,
    divisions,
    laws,
    machines,
    noise,
    prompt_lengths,
    sections_of,
    together,
    what_if,
)
from analysis.study import Study
from tests.doubles.predicted_run import predicted_study
from tests.doubles.run_kinds import KINDS

SUBJECTS = (cost, divisions, laws, machines, noise, prompt_lengths, together, what_if)
FIGURE = re.compile(r"(?<![\w.])\d{1,3}(?:[\u202f\u00a0 ]\d{3})*\.\d+(?!\w)|(?<![\w.])\d+(?= %)")
"""A number with decimals, or a percentage; whole numbers are mostly counts and names."""


def _studies(kind: str, folder: Path) -> Iterator[Study]:
    study = predicted_study() if kind == "predicted" else KINDS[kind](folder)
    yield from study.parts.values() or [study]


def _sentences(made: Iterable[Section]) -> Iterator[str]:
    for section in made:
        for block in blocks_in(section):
            if isinstance(block, Prose) and not block.is_note:
                yield from block.sentences
            if isinstance(block, Bullets):
                yield from block.items


def _numbers(study: Study) -> np.ndarray:
    made = list(sections_of(study))
    frames = [file.data for file in files_in(made)] + [chart.data for chart in charts_in(made)]
    found = [
        pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        for frame in frames
        for name in frame.columns
    ]
    values = np.unique(np.concatenate(found))
    return values[np.isfinite(values)]


def _is_shown(text: str, values: np.ndarray) -> bool:
    shown = float(re.sub(r"[\u202f\u00a0 ]", "", text))
    half = 0.5 * 10.0 ** -len(text.partition(".")[2]) * 1.001
    return any(
        np.abs(made - shown).min() <= half for made in (values, 100 * values, 100 * (values - 1))
    )


@pytest.mark.parametrize("kind", [*KINDS, "predicted"])
def test_every_figure_is_in_a_file(kind: str, tmp_path: Path) -> None:
    for study in _studies(kind, tmp_path):
        values = _numbers(study)
        made = [section for subject in SUBJECTS for section in subject.sections(study)]
        lost = [
            (figure, sentence)
            for sentence in _sentences(made)
            for figure in FIGURE.findall(sentence)
            if not _is_shown(figure, values)
        ]
        assert lost == []
