"""What `make bench` measures: a figure beside its anchor, both in one run, and the bar for them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class SkippedError(Exception):
    """Why a row cannot be measured here, half a sentence."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out.

    Attributes:
        ours: the figure, in `unit`.
        anchor: what it is held against, in the same unit; None where the bar is a plain limit.
        ratio: ours to the anchor's, the median over rounds; `ours` itself where there is none.
        unit: of both.
    """

    ours: float
    anchor: float | None
    ratio: float
    unit: str

    @classmethod
    def plain(cls, ours: float, unit: str) -> Measured:
        """A figure that is held against a limit."""
        return cls(ours, None, ours, unit)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: for `--only`.
        figure: what is measured.
        anchor: what it is held against.
        bar: the ratio (or the figure, where there is no anchor) that it must not exceed; where
            `at_least` is true, must reach.
        measure: does it, in an empty folder.
    """

    name: str
    figure: str
    anchor: str
    bar: float
    measure: Callable[[Path], Measured]
    at_least: bool = False

    def holds(self, measured: Measured) -> bool:
        """Whether the bar is kept."""
        return measured.ratio >= self.bar if self.at_least else measured.ratio <= self.bar


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took.

    Attributes:
        cpu_s: seconds of CPU, of the program and of the kernel for it.
        wall_s: seconds until its end.
        peak_mib: most memory that it held at once.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float


def run(command: Sequence[str | Path], folder: Path = PROJECT, **environment: str) -> Cost:
    """Run a command to its end; RuntimeError with its last words if it fails."""
    begun = time.perf_counter()
    with (folder / ".bench-output").open("w+b") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - begun
        said.seek(0)
        words = said.read().decode(errors="replace")[-500:]
    (folder / ".bench-output").unlink()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {words}")
    return Cost(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024)


def against(
    ours: Callable[[], float],
    anchor: Callable[[], float],
    unit: str,
    rounds: int = 5,
    *,
    warm_up: bool = True,
) -> Measured:
    """Measure both in every round, each first in every other one.

    Args:
        ours: tells the figure.
        anchor: tells what it is held against, in the same unit.
        unit: of both.
        rounds: that count.
        warm_up: whether a round that does not count comes first.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(rounds + warm_up):
        if number % 2:
            mine, other = ours(), anchor()
        else:
            other, mine = anchor(), ours()
        if number or not warm_up:
            pairs.append((mine, other))
    return Measured(
        ours=statistics.median(mine for mine, _ in pairs),
        anchor=statistics.median(other for _, other in pairs),
        ratio=statistics.median(mine / other for mine, other in pairs),
        unit=unit,
    )


HEADER = "| row | figure | measured | anchor | ratio | bar | |\n|--|--|--:|--:|--:|--:|--|"


def line(row: Row, found: Measured | str) -> str:
    """A row of the table; of one that was skipped, the reason."""
    bar = f"{'≥' if row.at_least else '≤'} {row.bar:g}"
    if isinstance(found, str):
        return f"| {row.name} | {row.figure} | | {row.anchor} | | {bar} | skipped: {found} |"
    anchor = row.anchor
    if found.anchor is not None:
        anchor += f" {found.anchor:.3g} {found.unit}"
    ratio = "" if found.anchor is None else f"{found.ratio:.2f}"
    return (
        f"| {row.name} | {row.figure} | {found.ours:.3g} {found.unit} | {anchor} | {ratio} "
        f"| {bar} | {'ok' if row.holds(found) else '**over**'} |"
    )
