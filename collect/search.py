"""What a search for the best settings found (`fab tune`).

`experiments/tune/` measures and fills it in; `analysis/settings/` judges it and writes its pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from collect.run import EQUIVALENCE_MARGIN
from core.record import Scalar

SPEEDS = ("answer", "decode", "prefill")
"""What can be made fast: a whole answer (the prompt and all tokens), generating, or reading."""
Fate = Literal["best", "slower", "undecided", "failed", "impossible"]
"""What became of a setting.

best: it is the one to confirm. slower: it was left out as one of the slower ones. undecided: it was
left out although the noise was larger than its distance to the best. failed: it crashed.
impossible: it was known beforehand that it cannot run here.
"""
Setting = Mapping[str, Scalar]
"""A value for each axis that is tuned."""


@dataclass(frozen=True, slots=True)
class TriedSetting:
    """A setting and what became of it.

    Attributes:
        setting: axis to value.
        is_default: it has the default of each axis.
        fate: see `Fate`.
        rung: the last one that it was in; 0 for none.
        trials: of it that are done, in all rungs.
        crashes: attempts of it that failed.
        cause: why it failed or is impossible; None otherwise.
        gain: how many times as fast as the default it was, over the blocks that hold both; None
            without such blocks. Of a setting that was chosen for it, it is too high on average.
    """

    setting: Setting
    is_default: bool
    fate: Fate
    rung: int = 0
    trials: int = 0
    crashes: int = 0
    cause: str | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the search: each setting that is left is measured equally often.

    Attributes:
        number: from 1.
        run: name of its run.
        trials: of each setting.
        settings: how many began it.
        failed: how many of them crashed.
        undecided: how many were left out although the noise was larger than their distance.
        kept: how many are left.
        is_short_of_budget: the budget, not the halving, decided how many were kept.
    """

    number: int
    run: str
    trials: int
    settings: int
    failed: int
    undecided: int
    kept: int
    is_short_of_budget: bool


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the two sides of a confirmation.

    Attributes:
        cell_id: of its cell.
        params: all axes of its cell.
        speeds: kind of speed (`SPEEDS`) to block to its value; more is better, for ratios only.
        done: trials that are done.
        crashes: attempts that failed.
        cause: why the last of them failed; None if none did.
    """

    cell_id: str
    params: Setting
    speeds: Mapping[str, Mapping[int, float]]
    done: int
    crashes: int = 0
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The best setting and the default, measured in turn.

    Attributes:
        run: its name.
        pairs: blocks that were asked for, each with one trial of either.
    """

    run: str
    pairs: int
    best: Arm
    default: Arm


@dataclass(frozen=True, slots=True)
class TuningResult:
    """A search that has come to its end.

    Attributes:
        name: of the search; its folder in `results/tunings/`.
        speed: what was to be made fast, one of `SPEEDS`.
        workload: what each trial did, in words.
        fixed: axes of all settings, with their value.
        axes: the axes that were tuned, with the values tried; the default is the first.
        combinations: how many settings these make that can run.
        budget: as the user gave it; empty for the usual one.
        rungs: in their order.
        tried: every setting, the best first.
        confirmation: None where there was nothing to confirm.
        default_fails: why the default cannot be compared with; None if it can.
        trials: of the search that are done.
        seconds: what all its attempts took.
        margin: relative difference below which two speeds count as the same.
    """

    name: str
    speed: str
    workload: str
    fixed: Setting
    axes: Mapping[str, tuple[Scalar, ...]]
    combinations: int
    budget: str
    rungs: tuple[Rung, ...]
    tried: tuple[TriedSetting, ...]
    confirmation: Confirmation | None
    default_fails: str | None = None
    trials: int = 0
    seconds: float = 0.0
    margin: float = EQUIVALENCE_MARGIN

    @property
    def default(self) -> Setting:
        """The setting with the default of each axis."""
        return {name: values[0] for name, values in self.axes.items()}

    @property
    def best(self) -> TriedSetting | None:
        """The setting that the search ended with; None where all failed."""
        return next((one for one in self.tried if one.fate == "best"), None)
