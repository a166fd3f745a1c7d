"""How much of a token's time is waiting for others, and how full that makes a link: as bounds.

Engines cut times off to whole milliseconds. Where tokens take few of them, what was cut off can be
more than what is printed, so a share is known only between two ends (`sync_share_low`, `_high` of
the trials table), and is not reported at all where these are far apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.traffic import mbit_per_s
from analysis.text.sentence import say
from analysis.text.wording import DASH, NOTHING, number, percent

AS_ONE, WIDEST = 0.02, 0.5
"""Widths of bounds: up to the first they are one figure, from the second on they say nothing."""
UNKNOWN = "not known"
TOO_MUCH = "not known: more than the link carries"


@dataclass(frozen=True, slots=True)
class SyncShare:
    """A share of a token's time, 0 to 1: median over trials of each trial's own ends.

    Attributes:
        low: the least that the logs allow.
        high: the most; equal to `low` where the engine's figures are exact.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """How much rounding hides."""
        return self.high - self.low

    @property
    def is_known(self) -> bool:
        """Return whether the ends are close enough to report."""
        return self.width < WIDEST

    @property
    def in_words(self) -> str:
        """`28 %`, `22-31 %`, or that it is not known."""
        if not self.is_known:
            return UNKNOWN
        if self.width <= AS_ONE:
            return percent((self.low + self.high) / 2)
        return f"{100 * self.low:.0f}{DASH}{100 * self.high:.0f} %"


def sync_share(cell: CellResult) -> SyncShare | None:
    """Return sync's share of a cell's decoded tokens; None where its engine does not report it."""
    compute, sync = cell.by_block("compute_ms_per_token"), cell.by_block("sync_ms_per_token")
    shares = {
        block: sync[block] / total
        for block in sync
        if (total := compute.get(block, 0.0) + sync[block])
    }
    if not shares:
        return None
    low, high = cell.by_block("sync_share_low"), cell.by_block("sync_share_high")
    ends = [(low.get(block, share), high.get(block, share)) for block, share in shares.items()]
    lows, highs = (pd.Series(part, dtype=float).median() for part in zip(*ends, strict=True))
    return SyncShare(float(lows), float(highs))


@dataclass(frozen=True, slots=True)
class LinkUse:
    """What goes through the busier way of the root's link.

    Attributes:
        kib: per decoded token.
        mean_mbit: over a whole token.
        sync_mbit: least and most while syncing; the most is infinite where waiting may be nothing.
            None where it is not known.
        link_mbit: what the slowest link of the cell carries; None where nodes do not report it.
    """

    kib: float
    mean_mbit: float
    sync_mbit: tuple[float, float] | None
    link_mbit: float | None

    def words_mbit(self) -> str:
        """The rate while syncing, as its bounds."""
        if self.sync_mbit is None:
            return UNKNOWN
        return _bounds(*self.sync_mbit, number)

    def words_use(self) -> str:
        """The share of the link while syncing; never more than there is of it."""
        if self.link_mbit is None:
            return NOTHING
        if self.sync_mbit is None:
            return UNKNOWN
        low, high = (mbit / self.link_mbit for mbit in self.sync_mbit)
        return TOO_MUCH if low > 1 else _bounds(low, high if high <= 1 else float("inf"), percent)

    def words_mean_use(self) -> str:
        """The share of the link over a whole token."""
        if self.link_mbit is None:
            return NOTHING
        share = self.mean_mbit / self.link_mbit
        return TOO_MUCH if share > 1 else percent(share)


def _bounds(low: float, high: float, written: Callable[[float], str]) -> str:
    if high == float("inf"):
        return say("{written} or more", written=written(low))
    if written(low) == written(high) or high - low <= AS_ONE * high:
        return written((low + high) / 2)
    return f"{written(low).removesuffix(' %')}{DASH}{written(high)}"


def link_use_of(cell: CellResult, link_mbit: float | None) -> LinkUse | None:
    """Return the use of the root's link; None for one node, or if traffic or time is unknown."""
    sent, received = cell.estimate("sent_kib_per_token"), cell.estimate("received_kib_per_token")
    time_ms, share = cell.estimate("decode_ms_per_token"), sync_share(cell)
    if sent is None or received is None or time_ms is None or cell.nodes == 1:
        return None
    kib = max(sent.value, received.value)
    mean = mbit_per_s(kib, time_ms.value)
    sync = None
    if share is not None and share.high > 0:
        sync = (mean / share.high, mean / share.low if share.low > 0 else float("inf"))
    return LinkUse(kib, mean, sync, link_mbit)
