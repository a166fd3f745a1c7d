"""The cells and trials of a run as it stores them, and what their axes may be."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from collect.columns import FURTHER_OF_TRIALS, TRIALS_AFTER_AXES, TRIALS_BEFORE_AXES
from collect.workloads import FEWEST_TOKENS, MOST_TOKENS, PROMPT_AXES
from core.foreign import FileName
from core.record import Record, Scalar, Words, all_differ

MOST_NODES = 10_000
MOST_CELLS = 100_000
MOST_TRIALS = 500_000
MOST_ATTEMPTS = 1000
"""Of one trial. Far more than anyone measures; a plan beyond these is none of this toolkit's."""

Axis = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PlaceNumber = Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)]

GROUPS_FORM = r"[1-9][0-9]{0,3}x[1-9][0-9]{0,3}"
"""A value of the axis `groups`: deployments at once, and the nodes of each."""
_AXES_OF_ALL = ("engine", "model", "nodes", "weights")
_WHOLE_AXES = frozenset({"nodes", "threads", "context", "link_mbit", "link_delay_ms", *PROMPT_AXES})
_TEXT_AXES = frozenset(
    ("engine", "model", "weights", "workers", "system", "device", "group", "on", "groups", "part")
) | {"arm"}
"""What these are is known to more than one engine, and to reports."""


def check_axis(axis: str, value: Scalar) -> None:
    """See that an axis has values of its kind. Raises ValueError."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if axis in _WHOLE_AXES and not is_count:
        raise ValueError(f"its axis {axis} must be a whole number from 0 on")
    if axis in PROMPT_AXES and not FEWEST_TOKENS <= int(value) <= MOST_TOKENS:
        raise ValueError(f"its axis {axis} must be from {FEWEST_TOKENS} to {MOST_TOKENS}")
    if axis in _TEXT_AXES and not isinstance(value, str):
        raise ValueError(f"its axis {axis} must be a text")
    if axis == "groups" and not re.fullmatch(GROUPS_FORM, str(value)):
        raise ValueError("its axis groups must be deployments and nodes of each, such as 4x1")


class CellRecord(Record):
    """One combination of axis values.

    Attributes:
        cell_id: hash of `params`, `identity` and the workload.
        params: axis name to value.
        identity: what else makes the cell what it is: binary hash, model hash, protocol.
        nodes: the nodes it runs on, root first; none of an API.
        unavailable: why it cannot run here, one sentence; None if it can.
    """

    cell_id: FileName
    params: dict[Axis, Scalar]
    identity: dict[str, Words]
    nodes: Annotated[tuple[FileName, ...], Field(max_length=MOST_NODES)]
    unavailable: Words | None = None

    @property
    def roots(self) -> tuple[str, ...]:
        """The root of each deployment: one, or several at once where the axis `groups` says so."""
        size = str(self.params.get("groups", "")).partition("x")[2]
        return self.nodes[:: int(size)] if size else self.nodes[:1]

    @model_validator(mode="after")
    def _says_what_it_runs(self) -> Self:
        for axis in _AXES_OF_ALL:
            if axis not in self.params:
                raise ValueError(f"its axis {axis} must be there")
        for axis, value in self.params.items():
            check_axis(axis, value)
        all_differ("the node", self.nodes)
        taken = sorted(_COLUMNS & self.params.keys() - set(PROMPT_AXES))
        if taken:
            raise ValueError(f"{taken[0]} is a column of every run, not an axis")
        return self


_COLUMNS = frozenset[str]().union(TRIALS_BEFORE_AXES, TRIALS_AFTER_AXES, *FURTHER_OF_TRIALS)


class TrialRecord(Record):
    """One repeat of a cell.

    Attributes:
        trial_id: `<cell_id>-r<repeat>`.
        repeat: from 1.
        block: from 1; every block holds each cell once, shuffled.
        order: position in the run, from 1.
    """

    trial_id: FileName
    cell_id: FileName
    repeat: PlaceNumber
    block: PlaceNumber
    order: PlaceNumber
