"""What a search is, written down before its first trial: `results/tunings/<name>/tuning.json`.

What is measured later follows from this record and from the runs, and from nothing else. So the
same command continues a search that was killed at any moment.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from collect.cells import Axis
from collect.run import Sha256
from collect.search import SPEEDS
from collect.workloads import Benchmark
from core.durable import replace_file, sync, writing
from core.errors import HerdError
from core.foreign import FileName, one_line
from core.record import (
    Moment,
    Positive,
    Record,
    Scalar,
    Whole,
    Words,
    all_differ,
    own_folder,
    read_record,
)
from experiments.planning.axes import among, axis_problems
from experiments.planning.identity import canonical, content, digest
from experiments.planning.matrix import Matrix
from experiments.tune.budget import FEWEST_PAIRS, MOST_PAIRS, Allowed
from experiments.tune.settings import default_cell, default_matrix, words_of

TUNINGS = "tunings"
RECORD_FILE = "tuning.json"
Values = Annotated[tuple[Scalar, ...], Field(min_length=1)]


class Impossible(Record):
    """A setting that cannot run here.

    Attributes:
        setting: axis to value.
        cause: why, one sentence.
    """

    setting: dict[Axis, Scalar]
    cause: Words


class TuningRecord(Record):
    """A search.

    Attributes:
        name: its folder.
        asked: hash of what the user asked; the same command has the same.
        created_at: when it began.
        axes: that are tuned, with their values; the default is the first.
        settings: that are tried; the default is the first.
        combinations: how many settings can run here.
        impossible: settings that cannot, with the reason.
        default_fails: why the default cannot run; None if it can.
        search: what the search may take, without the confirmation: trials or seconds.
        in_seconds: which of both.
        budget: as the user gave it.
        pairs: of the confirmation.
        speed: what is to be made fast.
    """

    name: FileName
    asked: Sha256
    created_at: Moment
    axes: dict[Axis, Values]
    settings: tuple[dict[Axis, Scalar], ...] = Field(min_length=1, max_length=4096)
    combinations: Whole
    impossible: tuple[Impossible, ...] = ()
    default_fails: Words | None = None
    search: Positive
    in_seconds: bool
    budget: Words = ""
    pairs: Annotated[int, Field(strict=True, ge=FEWEST_PAIRS, le=MOST_PAIRS)]
    speed: Words

    @model_validator(mode="after")
    def _is_one_search(self) -> Self:
        """Its settings are values of its axes, each once: nothing else was ever written."""
        if self.speed not in SPEEDS:
            raise ValueError(f"speed: give one of {', '.join(SPEEDS)}")
        for _, problem in axis_problems(self.axes):
            raise ValueError(problem)
        for setting in (*self.settings, *(one.setting for one in self.impossible)):
            if setting.keys() != self.axes.keys():
                raise ValueError("a setting does not name each axis that is tuned")
            for axis, value in setting.items():
                if not among(value, self.axes[axis]):
                    raise ValueError(f"a setting has {value!r}, which axis {axis} does not list")
        all_differ("the setting", map(words_of, self.settings))
        return self

    def seed(self, rung: int) -> int:
        """Of the order of trials in a rung; other searches have others, so none takes its runs."""
        return int(digest([self.name, rung])[:7], 16)


def question_hash(
    matrix: Matrix, nodes: list[str], allowed: Allowed, pairs: int, speed: str
) -> str:
    """Hash what the user asks: the same again continues the search."""
    base = default_matrix(matrix)
    workload = matrix.workload
    assert isinstance(workload, Benchmark)  # noqa: S101 - `base_of` let nothing else pass
    return digest(
        {
            "default": canonical(default_cell(base).params),
            "named": sorted([name, *map(str, values)] for name, values in matrix.axes.items()),
            "workload": content(workload),
            "nodes": nodes,
            "seed": matrix.seed,
            "budget": [allowed.trials, allowed.seconds],
            "pairs": pairs,
            "speed": speed,
        }
    )


def new_name(results: Path) -> str:
    """`tune-<YYYYmmdd-HHMMSS>` in local time; a name that no search has yet."""
    while True:
        name = f"tune-{time.strftime('%Y%m%d-%H%M%S')}"
        if not (results / TUNINGS / name).exists():
            return name
        time.sleep(0.1)


def find_search(results: Path, asked: str) -> TuningRecord | None:
    """The latest search of what was asked; None if there is none.

    Raises:
        HerdError: a record is damaged.
    """
    folder = own_folder(results, TUNINGS)
    if folder is None:
        return None
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    found = filter(None, map(_read, sorted(folders)))
    same = [one for one in found if one.asked == asked]
    return max(same, key=lambda one: (one.created_at, one.name), default=None)


def _read(folder: Path) -> TuningRecord | None:
    doing = f"Looking for searches in {folder.parent}"
    remedy = f"Delete {folder} if its search is of no use any more."
    found = read_record(folder, RECORD_FILE, TuningRecord, doing, remedy)
    if found is not None and found.name != folder.name:
        path = folder / RECORD_FILE
        raise HerdError(f"{doing}: {path} is of the search {one_line(found.name)}. {remedy}")
    return found


def write_search(results: Path, record: TuningRecord) -> None:
    """Write the record of a search, whole or not at all.

    Raises:
        HerdError: it cannot be written.
    """
    folder = results / TUNINGS / record.name
    with writing(f"the search {record.name}", folder):
        folder.mkdir(parents=True)
        sync(folder.parent)
        replace_file(folder / RECORD_FILE, record.model_dump_json(indent=1).encode())


def folder_of(results: Path, name: str) -> Path:
    """The folder of a search."""
    return results / TUNINGS / name


class UnfinishedError(HerdError):
    """A rung has trials left: the command can be repeated.

    Attributes:
        exit_code: of the verb.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
