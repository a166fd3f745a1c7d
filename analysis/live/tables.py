"""The tables of the live page: cells, failures, and when something was."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from analysis.blocks import Tabled
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import Sentence, say
from analysis.text.wording import NOTHING, nodes, number, percent
from collect.account import Account, AttemptState, TrialState
from collect.labels import cell_label
from collect.run import RunManifest
from core.record import Scalar

MOST_CELLS = 600
ON = "{who} on {in_nodes}"
MOST_FAILURES = 200
INVALID = "An invalid attempt succeeded, but a node throttled, swapped or changed meanwhile."


def short_labels(run: RunManifest) -> dict[str, str]:
    """Each cell by what distinguishes it from the others: id to a few words."""
    params = [cell.params for cell in run.cells]
    axes = dict.fromkeys(axis for one in params for axis in one)
    same = {
        axis
        for axis in axes
        if axis not in ("engine", "nodes")
        and len({one[axis] for one in params if axis in one}) == 1
    }
    labels = {}
    for cell in run.cells:
        kept = {axis: value for axis, value in cell.params.items() if axis not in same}
        labels[cell.cell_id] = _label(kept)
    return labels


def _label(params: Mapping[str, Scalar]) -> str:
    """A cell by these axes: the system, and on how many nodes."""
    whole = " ".join(cell_label({"model": "", **params}).split())
    count = int(params["nodes"])
    who = whole.replace(f" {count} node{'' if count == 1 else 's'}", "", 1)
    return whole if who == whole else say(ON, who=who, in_nodes=nodes(count))


def cells(account: Account) -> Tabled:
    """Each cell: how far it is, how long its trials take and how much that varies."""
    labels = short_labels(account.manifest)
    by_cell: dict[str, list[TrialState]] = {}
    for trial in account.trials:
        by_cell.setdefault(trial.cell.cell_id, []).append(trial)
    columns = ("Cell", "Done", "Failed", "To come", "Seconds, median", "CV")
    rows = [[labels[cell_id], *_cell_row(trials)] for cell_id, trials in by_cell.items()]
    caption = say("Cells so far")
    return Tabled(caption, table(columns, rows, columns[1:]), is_sortable=True, most=MOST_CELLS)


def _cell_row(trials: Sequence[TrialState]) -> list[str]:
    states = Counter(trial.state for trial in trials)
    walls = sorted(
        trial.chosen.record.trial_wall_s
        for trial in trials
        if trial.chosen is not None and trial.chosen.record is not None
    )
    median = walls[len(walls) // 2] if walls else None
    return [
        f"{states['done']}/{len(trials)}",
        str(states["failed"]),
        str(states["pending"]),
        number(median),
        percent(_variation(walls)),
    ]


def _variation(values: Sequence[float]) -> float | None:
    """Standard deviation over the mean; None of fewer than two."""
    if len(values) <= 1 or not sum(values):
        return None
    return statistics.stdev(values) / statistics.fmean(values)


def failures(account: Account) -> Iterator[Tabled]:
    """What did not work; nothing where all did."""
    made = _failure_table(account)
    if made is not None:
        has_invalid = any(attempt_outcome(attempt) == "invalid" for _, attempt in attempts(account))
        notes = (say(INVALID),) if has_invalid else ()
        yield Tabled(say("What did not work"), made, notes, most=MOST_FAILURES)


def _failure_table(account: Account) -> Table | None:
    """Causes, the latest first: attempts that failed or are invalid, cells that cannot run."""
    labels = short_labels(account.manifest)
    rows: Counter[tuple[str, str, str]] = Counter()
    latest: dict[tuple[str, str, str], float] = {}
    for trial, attempt in attempts(account):
        if attempt.done:
            continue
        key = (labels[trial.cell.cell_id], attempt_outcome(attempt), attempt.reason or NOTHING)
        rows[key] += 1
        at = attempt.record.started_at if attempt.record else 0.0
        latest[key] = max(latest.get(key, 0.0), at)
    for trial in account.trials:
        if trial.attempts or trial.reason is None:
            continue
        key = (labels[trial.cell.cell_id], trial.state, trial.reason)
        rows[key] += 1
        latest.setdefault(key, 0.0)
    if not rows:
        return None
    columns = ("Cell", "Cause", "Outcome", "Times", "Latest")
    ordered = sorted(rows, key=lambda key: latest[key], reverse=True)
    shown = [[key[0], key[2], key[1], str(rows[key]), _when(latest[key])] for key in ordered]
    return table(columns, shown, ["Times"])


def _when(at: float) -> str:
    return clock(at) if at else NOTHING


def attempts(account: Account) -> Iterator[tuple[TrialState, AttemptState]]:
    """Every attempt of a run with its trial."""
    for trial in account.trials:
        for attempt in trial.attempts:
            yield trial, attempt


def attempt_outcome(attempt: AttemptState) -> str:
    """`done`, `failed`, `invalid` or `unreadable`."""
    if attempt.record is None:
        return "unreadable"
    # One that is recorded as done and does not count was damaged later.
    is_damaged = attempt.record.outcome == "done" and not attempt.done
    return "unreadable" if is_damaged else attempt.record.outcome


def clock(at: float) -> str:
    """The time of day on this machine; with the date if it is another day's."""
    moment, today = time.localtime(at), time.localtime()
    is_today = moment[:3] == today[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", moment)


def lasting(seconds: float) -> Sentence:
    """How long something takes, as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return say("{hours} h {minutes} min", hours=hours, minutes=f"{minutes:02d}")
    if minutes:
        return say("{minutes} min {seconds} sec", minutes=minutes, seconds=f"{rest:02d}")
    return say("{seconds} sec", seconds=rest)
