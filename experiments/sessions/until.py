"""Measure until intervals are narrow: which cells get one more block, decided from what is on disk.

A cell is narrow if half the width of the 95 % interval of its tokens/s is at most a share of their
median, with all its trials and also without the last one. Once alone would not do: a rule that
looks after each trial stops where the interval is narrow by luck.

Blocks stay complete among the cells that a report compares: cells of one model and weights get a
further trial each until all of them are narrow. If each stopped by itself, comparisons would have
as many pairs as the cell that was narrow by luck.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord
from collect.cells import CellRecord, TrialRecord
from collect.parsers.of_attempt import parse_attempt
from collect.run import RunManifest
from collect.workloads import Benchmark
from core.errors import HerdError
from core.foreign import one_line
from core.median import FEWEST, half_width
from core.yaml_file import LONGEST_SHOWN
from experiments.planning.precision import USUAL_MOST, share_of
from models.padding import split_name

MOST_ASKED = 10_000
"""As many as a matrix may have repeats."""
IN_VAIN = 3
"""After so many failed trials in succession a cell gets no more: each may take hours."""
Rates = Mapping[str, Mapping[int, float]]
"""Cell to block to tokens/s of the trials that are done."""


@dataclass(frozen=True, slots=True)
class Until:
    """When cells are measured enough.

    Attributes:
        share: half the width of the interval, as a share of the median.
        most: trials of a cell at most.
    """

    share: float
    most: int = USUAL_MOST


def until_of(share: str | None, most: str | int | None) -> Until | None:
    """What `--until` and `--most` say, as words of the command line; None without `--until`.

    Raises:
        HerdError: a value that cannot be, or `--most` alone.
    """
    if share is None:
        if most is not None:
            told = one_line(str(most), LONGEST_SHOWN)
            raise HerdError(f"--most {told}: give --until, too, such as --until 3%.")
        return None
    return Until(share_of(share, "until"), USUAL_MOST if most is None else _trials_of(most))


def _trials_of(given: str | int) -> int:
    """Read `--most`. Raises HerdError if it is not a whole number in its bounds."""
    told = str(given).strip()
    most = int(told) if re.fullmatch("[0-9]{1,9}", told) else 0
    if not FEWEST < most <= MOST_ASKED:
        raise HerdError(
            f"--most {one_line(told, LONGEST_SHOWN)}: give {FEWEST + 1} to {MOST_ASKED} trials of "
            f"a cell. An interval needs {FEWEST}, and it must be narrow twice."
        )
    return most


def is_narrow(rates: Sequence[float], share: float) -> bool:
    """Whether an interval is narrow, and was one trial before.

    Args:
        rates: tokens/s in the order of measuring.
        share: half the width, as a share of the median.
    """
    widths = (half_width(rates), half_width(rates[:-1]))
    return all(width is not None and width <= share for width in widths)


def wanting(
    manifest: RunManifest, rates: Rates, until: Until, waiting: Collection[str] = ()
) -> tuple[CellRecord, ...]:
    """The cells that need one more trial, each with all that it is compared with.

    Args:
        manifest: the run.
        rates: what was measured.
        until: when it is enough.
        waiting: ids of cells that have trials left: nothing is added to what they are compared
            with, before these are measured.
    """
    planned = Counter(trial.cell_id for trial in manifest.trials)
    latest = _latest_blocks(manifest)
    waits = {_compared_with(manifest, cell) for cell in manifest.cells if cell.cell_id in waiting}
    groups: dict[object, list[CellRecord]] = {}
    for cell in manifest.cells:
        is_timed = isinstance(manifest.workload_of(cell), Benchmark)
        works = any(block in rates.get(cell.cell_id, ()) for block in latest[cell.cell_id])
        if is_timed and works and cell.unavailable is None and planned[cell.cell_id] < until.most:
            groups.setdefault(_compared_with(manifest, cell), []).append(cell)
    return tuple(
        cell
        for key, group in groups.items()
        if key not in waits
        and not all(is_narrow(_in_order(rates[one.cell_id]), until.share) for one in group)
        for cell in group
    )


def _latest_blocks(manifest: RunManifest) -> dict[str, list[int]]:
    """Cell to the blocks of its last trials, as many as may fail."""
    found: dict[str, list[int]] = {cell.cell_id: [] for cell in manifest.cells}
    for trial in sorted(manifest.trials, key=lambda one: one.order):
        found[trial.cell_id] = [*found[trial.cell_id], trial.block][-IN_VAIN:]
    return found


def _in_order(rates: Mapping[int, float]) -> list[float]:
    return [rates[block] for block in sorted(rates)]


def _compared_with(manifest: RunManifest, cell: CellRecord) -> tuple[object, ...]:
    """What cells share that a report compares: a tuned model is compared with its base."""
    model = split_name(str(cell.params["model"]))[0]
    tuned = manifest.tuned.get(model)
    base = tuned.parentage.base if tuned else model
    return cell.params.get("part"), base, cell.params["weights"]


def next_block(manifest: RunManifest, cells: Iterable[CellRecord]) -> tuple[TrialRecord, ...]:
    """One more trial of each of these cells, shuffled as the blocks of the plan are."""
    block = 1 + max(trial.block for trial in manifest.trials)
    order = max(trial.order for trial in manifest.trials)
    repeats = Counter[str]()
    for trial in manifest.trials:
        repeats[trial.cell_id] = max(repeats[trial.cell_id], trial.repeat)
    ids = [cell.cell_id for cell in cells]
    random.Random(f"{manifest.seed}-{block}").shuffle(ids)  # noqa: S311 - an order, not a secret
    return tuple(
        TrialRecord(
            trial_id=f"{cell_id}-r{repeats[cell_id] + 1}",
            cell_id=cell_id,
            repeat=repeats[cell_id] + 1,
            block=block,
            order=order + place,
        )
        for place, cell_id in enumerate(ids, start=1)
    )


def rate_of_attempt(folder: Path, record: AttemptRecord) -> float | None:
    """Tokens/s of an attempt that is done; None where its engine reports none."""
    try:
        decode = parse_attempt(folder, record).decode
    except HerdError:
        return None
    return decode.tokens_per_s if decode and decode.tokens_per_s else None


def rates_of(account: Account) -> dict[str, dict[int, float]]:
    """What a run measured so far."""
    found: dict[str, dict[int, float]] = {}
    for state in account.trials:
        chosen = state.chosen
        rate = rate_of_attempt(chosen.folder, chosen.record) if chosen and chosen.record else None
        if rate is not None:
            found.setdefault(state.cell.cell_id, {})[state.trial.block] = rate
    return found


def wide_cells(account: Account, until: Until | None) -> frozenset[str]:
    """Ids of the cells of a run that get more trials; none without `--until`."""
    if until is None:
        return frozenset()
    cells = wanting(account.manifest, rates_of(account), until)
    return frozenset(cell.cell_id for cell in cells)


class Narrowing:
    """Decides during a session which cells get one more trial.

    Args:
        account: the run when the session begins.
        until: when cells are measured enough; None to add nothing.
    """

    def __init__(self, account: Account, until: Until | None) -> None:
        self._until = until
        self._rates = rates_of(account) if until else {}

    def learn(self, trial: TrialRecord, folder: Path, record: AttemptRecord) -> None:
        """Take in an attempt that is done."""
        rate = None if self._until is None else rate_of_attempt(folder, record)
        if rate is not None:
            self._rates.setdefault(trial.cell_id, {})[trial.block] = rate

    def block(self, manifest: RunManifest, waiting: Collection[str]) -> tuple[TrialRecord, ...]:
        """One more trial of each cell that needs it; none if all are narrow.

        Args:
            manifest: the run so far.
            waiting: ids of cells that have trials left.
        """
        cells = wanting(manifest, self._rates, self._until, waiting) if self._until else ()
        return next_block(manifest, cells) if cells else ()
