"""Energy: joules of tokens and answers, or why they were not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from analysis.blocks import Block, File, Section, Tabled, cited, note
from analysis.cells.energy import (
    COLUMNS,
    GPU_COLUMNS,
    energy_frame,
    gpu_energy_frame,
    unmeasured,
)
from analysis.cells.labels import users_at_once
from analysis.cells.tabulate import Table, frame_table
from analysis.sections.wall import wall_parts
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from collect.workloads import Questions

COUNTERS = (
    "Energy of all nodes of a cell together, idle power included, from the counters in their "
    "hardware: {counters}. No counter covers power supplies, boards, disks and switches."
)
CPU, GPU = "RAPL for processors", "NVML for NVIDIA boards"
OF_ANSWERS = (
    "Counted from before the first question to after the last answer: prefill and decode, with the "
    "model already loaded."
)
OF_PROCESS = (
    "Counted from the start of the root's process to its end: this includes loading the model, "
    "distributing it to the workers and prefill."
)
OF_ALL = (
    "Of several deployments at once, each node is counted while its own root runs, and the window "
    "is the longest of them. Joules are those of all nodes, tokens those of all users."
)
GPU_SHARE = (
    "The GPUs' share: the boards of the GPUs that computed, by NVML's counters, and nothing else. "
    "Processors, memory and all other parts of their machines, and nodes without a GPU, are not in "
    "these figures."
)
SPREAD = "Lowest and highest trial refer to {figure}."
HOW = "How energy is measured, and what to do where it is not: docs/energy.md."


def sections(study: Study) -> Iterator[Section]:
    """Make the section where energy was measured, or nodes said why it was not."""
    data = energy_frame(study.all_series)
    blocks: list[Block] = [] if data.empty else [_measured(study, data)]
    shares = gpu_energy_frame(study.all_series)
    if not shares.empty:
        table = _table(shares, GPU_COLUMNS)
        file = File("gpu_energy", shares)
        blocks.append(Tabled("The GPUs' share", table, (say(GPU_SHARE),), file))
    counters = "" if data.empty else " ".join(data["counters"])
    blocks += cited(
        ("RAPL", "david2010rapl") if "RAPL" in counters else None,
        ("NVML", "nvml") if "NVML" in counters or not shares.empty else None,
    )
    at_the_wall = list(wall_parts(study, _window(study)))
    if obstacles := unmeasured(study.run, study.all_series, at_the_wall=bool(at_the_wall)):
        blocks.append(note(obstacles, say(HOW)))
    if blocks or at_the_wall:
        yield Section("energy", "Energy", (*blocks, *at_the_wall), "Energy")


def _window(study: Study) -> Sentence:
    """Say from when to when is counted."""
    return say(OF_ANSWERS if isinstance(study.run.workload, Questions) else OF_PROCESS)


def _measured(study: Study, data: pd.DataFrame) -> Tabled:
    names = " ".join(data["counters"])
    kinds = [kind for kind in (CPU, GPU) if kind.partition(" ")[0] in names] or [names]
    has_answers = bool(data["j_per_answer"].notna().any())
    notes = [
        say(COUNTERS, counters=", ".join(kinds)),
        _window(study),
    ]
    if any(users_at_once(series.params) > 1 for series in study.on_nodes):
        notes.append(say(OF_ALL))
    if data["lowest"].notna().any():
        notes.append(say(SPREAD, figure="J/answer" if has_answers else "J/token"))
    return Tabled("Energy", _table(data, COLUMNS), tuple(notes), File("energy", data))


def _table(data: pd.DataFrame, columns: Mapping[str, str]) -> Table:
    """The figures without columns that hold nothing."""
    told = {name: title for name, title in columns.items() if data[name].notna().any()}
    if len(data["model"].unique()) == 1:
        del told["model"]
    return frame_table(data, told)
