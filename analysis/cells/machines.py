"""The machines of a cell by what they are: `desk (GPU) + 2 Raspberry Pis`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.cells import SOFTWARE_GPU, CellResult
from analysis.cells.gpus import UsedGpu
from analysis.cells.labels import DEVICE, ON_GPU
from analysis.text.sentence import say
from analysis.text.wording import TIMES, listing, plural
from core.record import Scalar

PI = "Raspberry Pi"
"""What the boards of all of them begin with."""
MOST_NAMED = 3
"""Other machines than Raspberry Pis: up to so many are called by their names."""
MOST_ADDED = 2
"""Added machines: up to so many are called by their names."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What is known of the machines of a run.

    Attributes:
        facts: node to its provenance facts.
        gpus: node to the GPU on which some cell computed.
    """

    facts: Mapping[str, Mapping[str, Scalar | None]]
    gpus: Mapping[str, UsedGpu]

    def in_words(self, cell: CellResult) -> str:
        """Name the machines of a cell: Raspberry Pis by their number, others by their names."""
        told = self._in_words(cell.record.nodes, cell)
        is_on_gpu = cell.record.params.get(DEVICE) == ON_GPU
        if is_on_gpu and not any(name in self.gpus for name in cell.record.nodes):
            # No attempt says which of them has the GPU; the same machines on their CPUs are others.
            return say("{shown} (device gpu)", shown=told)
        return told

    def added(self, names: Sequence[str], cell: CellResult) -> str:
        """Name some machines of a cell that a smaller one does not have."""
        if len(names) <= MOST_ADDED:
            return listing([name + self._mark(name, cell) for name in names])
        return self._in_words(names, cell)

    def kinds(self, names: Iterable[str]) -> int:
        """How many kinds of machine these are, by board and processor."""
        told = (self.facts.get(name, {}) for name in names)
        return len({(str(one.get("board")), str(one.get("cpu_model"))) for one in told})

    def _in_words(self, names: Sequence[str], cell: CellResult) -> str:
        alike: dict[tuple[str, str], list[str]] = {}
        for name in names:
            alike.setdefault((self._pi(name), self._mark(name, cell)), []).append(name)
        return " + ".join(
            self._alike(kind, members) + mark if kind else _others(members, mark)
            for (kind, mark), members in alike.items()
        )

    def _alike(self, kind: str, members: Sequence[str]) -> str:
        """`4 Raspberry Pis`; by their model where a run has several models."""
        models = {self._pi(name) for name in self.facts} - {""}
        if len(models) == 1:
            return plural(len(members), PI)
        return say("{members} {TIMES} {kind}", members=len(members), TIMES=TIMES, kind=kind)

    def _pi(self, name: str) -> str:
        """The model of a Raspberry Pi, as `Raspberry Pi 5`; empty for another machine."""
        board = str(self.facts.get(name, {}).get("board") or "")
        return (
            board.split(" Model", maxsplit=1)[0].split(" Rev", maxsplit=1)[0]
            if board.startswith(PI)
            else ""
        )

    def _mark(self, name: str, cell: CellResult) -> str:
        """On what a machine that has a GPU computes in a cell; nothing for one that has none."""
        is_on_gpu = cell.record.params.get(DEVICE) == ON_GPU
        gpu = cell.gpus.get(name) or (None if cell.is_measured else self.gpus.get(name))
        if is_on_gpu and gpu is not None:
            return (
                say(" ({SOFTWARE_GPU})", SOFTWARE_GPU=SOFTWARE_GPU) if gpu.is_software else " (GPU)"
            )
        return " (CPU)" if name in self.gpus else ""


def machines_known(
    facts: Mapping[str, Mapping[str, Scalar | None]], cells: Iterable[CellResult]
) -> Machines:
    """What is known of the machines of a run: their facts, and the GPUs that its cells used."""
    gpus = {name: gpu for cell in cells for name, gpu in cell.gpus.items()}
    return Machines(facts, gpus)


def _others(names: Sequence[str], mark: str) -> str:
    if len(names) > MOST_NAMED:
        return say("{names} machines{mark}", names=len(names), mark=mark)
    return " + ".join(name + mark for name in names)
