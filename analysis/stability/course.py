"""How a run went over time: when it began and ended, its blocks, every attempt in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from analysis.cells.scaling import DECODE
from analysis.cells.series import Series
from analysis.cells.tabulate import Table, table
from analysis.stability.machines import throttled_bits
from analysis.text.sentence import say, together
from analysis.text.wording import plural
from core.record import Scalar

TIMES = (
    "The first attempt began at {first} and the last ended at {last}, {elapsed} later; attempts "
    "took {attempts} of that."
)
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
COLUMNS = (
    "model", "series", "nodes", "trial_id", "attempt", "block", "outcome", "begun_s", "wall_s",
    "tokens_per_s", "times_median", "hottest_c", "throttled",
)  # fmt: skip
BLOCK_COLUMNS = ("block", "begun_s", "ended_s", "attempts", "done", "trials")


@dataclass(frozen=True, slots=True)
class Course:
    """The attempts of a run over time.

    Attributes:
        frame: a row an attempt, in the order of beginning (columns: `COLUMNS`); seconds are since
            the first one, `times_median` is its tokens/s over the median of its cell.
        began_at: Unix time of the first attempt in seconds; None without attempts.
    """

    frame: pd.DataFrame
    began_at: float | None

    @property
    def elapsed_s(self) -> float:
        """From the beginning of the first attempt to the end of the last, pauses included."""
        ends = self.frame["begun_s"] + self.frame["wall_s"].fillna(0)
        return float(ends.max()) if len(ends) else 0.0

    @property
    def in_words(self) -> str:
        """When it began and ended, and how long that was; empty where no attempt has a time."""
        if self.began_at is None:
            return ""
        ended_at = self.began_at + self.elapsed_s
        return say(
            TIMES,
            first=moment(self.began_at),
            last=moment(ended_at),
            elapsed=duration(self.elapsed_s),
            attempts=duration(float(self.frame["wall_s"].sum())),
        )

    @property
    def facts(self) -> dict[str, Scalar]:
        """The same as numbers and moments; nothing where no attempt has a time."""
        if self.began_at is None:
            return {}
        return {
            "first attempt began": moment(self.began_at),
            "last attempt ended": moment(self.began_at + self.elapsed_s),
            "seconds from first to last": self.elapsed_s,
            "seconds of attempts": float(self.frame["wall_s"].sum()),
        }

    @property
    def blocks(self) -> pd.DataFrame:
        """A row a block: when it began and ended, how many attempts, how many trials are done."""
        frame = self.frame.assign(
            ended_s=self.frame["begun_s"] + self.frame["wall_s"].fillna(0),
            is_done=self.frame["outcome"] == "done",
        )
        blocks = frame.groupby("block").agg(
            begun_s=("begun_s", "min"),
            ended_s=("ended_s", "max"),
            attempts=("outcome", "size"),
            done=("is_done", "sum"),
            trials=("trial_id", "nunique"),
        )
        return blocks.reset_index()[list(BLOCK_COLUMNS)]

    def block_table(self) -> Table | None:
        """The blocks for readers; None where there is but one."""
        blocks = self.blocks
        if len(blocks) <= 1:  # one block is the run
            return None
        rows = [
            [
                str(row["block"]),
                moment((self.began_at or 0.0) + row["begun_s"]),
                duration(row["ended_s"] - row["begun_s"]),
                say("{done} of {trials}", done=row["done"], trials=row["trials"]),
                str(row["attempts"]),
            ]
            for row in blocks.to_dict("records")
        ]
        columns = ("Block", "Start", "Duration", "Trials done", "Attempts")
        return table(columns, rows, columns[2:])


def course_of(
    all_series: Sequence[Series], trials: pd.DataFrame, attempts: pd.DataFrame, nodes: pd.DataFrame
) -> Course:
    """The attempts of a run in the order in which they began.

    Args:
        all_series: every series of the run.
        trials: a table of the run (see `collect.tables`).
        attempts: a table of the run.
        nodes: a table of the run.
    """
    cells = {cell.record.cell_id: (series, cell) for series in all_series for cell in series.cells}
    medians = {
        cell_id: found.value
        for cell_id, (_, cell) in cells.items()
        if (found := cell.estimate(DECODE)) is not None
    }
    of_trials = trials[["trial_id", "cell_id", "block", "attempt_id", DECODE]]
    frame = attempts.dropna(subset=["started_at"]).merge(
        of_trials, on="trial_id", suffixes=("", "_that_counts")
    )
    frame = frame.sort_values(["started_at", "trial_id", "attempt"]).reset_index(drop=True)
    counts = (frame["attempt_id"] == frame["attempt_id_that_counts"]).fillna(value=False)
    middle = frame["cell_id"].map(medians).astype(float)
    rate = frame[DECODE].astype(float).where(counts.astype(bool) & middle.notna())
    began_at = float(frame["started_at"].iloc[0]) if len(frame) else None
    made = pd.DataFrame(
        {
            "model": [cells[cell_id][0].model for cell_id in frame["cell_id"]],
            "series": [cells[cell_id][0].panel_label for cell_id in frame["cell_id"]],
            "nodes": [cells[cell_id][1].nodes for cell_id in frame["cell_id"]],
            "trial_id": frame["trial_id"],
            "attempt": frame["attempt"],
            "block": frame["block"],
            "outcome": frame["outcome"],
            "begun_s": frame["started_at"].astype(float) - (began_at or 0.0),
            "wall_s": frame["trial_wall_s"].astype(float),
            "tokens_per_s": rate,
            "times_median": rate / middle,
        },
    )
    made = made.assign(**_readings(frame["attempt_id"], nodes))
    return Course(made[list(COLUMNS)], began_at)


def _readings(attempt_ids: pd.Series, nodes: pd.DataFrame) -> dict[str, pd.Series]:
    """The hottest node after each attempt, and whether any slowed itself down."""
    bits = throttled_bits(nodes)
    heat = pd.to_numeric(nodes["temperature_after_c"], errors="coerce")
    by_attempt = nodes["attempt_id"]
    slowed = bits.groupby(by_attempt).max()
    return {
        "hottest_c": attempt_ids.map(heat.groupby(by_attempt).max()).astype(float),
        "throttled": attempt_ids.map(slowed).astype("Int64") > 0,
    }


def moment(at: float) -> str:
    """`2026-11-24 12:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """`45 s`, `12 min 5 s`, `3 h 20 min`, `2 days 4 h`: two units at most."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return (
            say("{n} s", n=f"{seconds:.1f}")
            if seconds < 10  # noqa: PLR2004 - digits
            else say("{n} s", n=whole)
        )
    days, of_day = divmod(whole, DAY_S)
    hours, of_hour = divmod(of_day, HOUR_S)
    minutes, rest = divmod(of_hour, MINUTE_S)
    if days:
        return say("{days} {rest} h", days=plural(days, "day"), rest=hours)
    if hours:
        return _two("{n} h", hours, "{n} min", minutes)
    return _two("{n} min", minutes, "{n} s", rest)


def _two(large: str, n: int, small: str, rest: int) -> str:
    return together([say(large, n=n), *([say(small, n=rest)] if rest else [])])
