"""How a search begins: which settings there are, what they may cost, what is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collect.search import Setting
from core.errors import HerdError
from core.progress import spoken_time
from core.record import Scalar
from experiments.nodes.owner import Owner, own_results
from experiments.planning.describe import impossible as cannot_run
from experiments.planning.matrix import Matrix
from experiments.planning.plan import SECONDS_ASSUMED, Plan, make_plan
from experiments.tune.budget import Allowed, BudgetShare, schedule_lines, share_out
from experiments.tune.halving import plain_trials
from experiments.tune.measuring import Run, matrix_of, measure_whole, title_of
from experiments.tune.record import (
    Impossible,
    TuningRecord,
    find_search,
    new_name,
    question_hash,
    write_search,
)
from experiments.tune.settings import (
    SettingsMatrix,
    default_matrix,
    key_of,
    sample,
    space_of,
    without_doubles,
    words_of,
)

PILOT_TRIALS = 2
Say = Callable[[str], None]
Look = Callable[[Matrix], Plan]
"""Plans a matrix on nodes that are asked for their facts."""


@dataclass(frozen=True, slots=True)
class TuningQuestion:
    """What the user asks.

    Attributes:
        matrix: of the default cell; an axis with several values is tuned over them.
        allowed: the budget.
        pairs: of the confirmation.
        speed: what is to be made fast.
        nodes: names of the cluster's nodes that may take part, in order.
    """

    matrix: Matrix
    allowed: Allowed
    pairs: int
    speed: str
    nodes: tuple[str, ...]

    @property
    def key(self) -> str:
        """Hash of it."""
        return question_hash(self.matrix, list(self.nodes), self.allowed, self.pairs, self.speed)


@dataclass(frozen=True, slots=True)
class KnownSettings:
    """The settings of a search before it begins.

    Attributes:
        axes: that are tuned; the default is the first value of each.
        possible: settings that can run here.
        impossible: those that cannot.
        default_fails: why the default cannot; None if it can.
        seconds: what a trial of a possible one takes, by its place, where one was measured.
        plan: of all of them.
    """

    axes: Mapping[str, tuple[Scalar, ...]]
    possible: tuple[Setting, ...]
    impossible: tuple[Impossible, ...]
    default_fails: str | None
    seconds: Mapping[int, float]
    plan: Plan

    @property
    def trial_s(self) -> float:
        """What a trial takes: that of the default, of another one, or a guess."""
        return self.seconds.get(0) or next(iter(self.seconds.values()), SECONDS_ASSUMED)


def settings_of(asked: TuningQuestion, results: Path, look: Look) -> KnownSettings:
    """Find the settings that can be tried on the nodes as they are.

    Raises:
        HerdError: a node is away, nothing can be tuned, or no setting can run.
    """
    plan = look(asked.matrix)
    away = [node for node in plan.cluster.nodes if node.away is not None]
    if away:
        told = "\n".join(f"  {node.name}: {node.away}" for node in away)
        raise HerdError(
            "Tuning: settings are chosen for the nodes as they are, and these do not answer. Start "
            f"them, or leave them out with --without.\n{told}"
        )
    space = space_of(asked.matrix, plan.cluster)
    matrix = matrix_of(space.base, (), title="settings", repeats=1, seed=1)
    settings = without_doubles(matrix, space.combinations(), plan.cluster)
    whole = make_plan(_with(matrix, settings), plan.cluster, results)
    records = {key_of(cell.params): cell for cell in whole.cells}
    possible: list[Setting] = []
    refused: list[Impossible] = []
    seconds: dict[int, float] = {}
    for setting in settings:
        record = records[key_of(matrix.cell_of(setting).params)]
        if record.unavailable is not None:
            refused.append(Impossible(setting=dict(setting), cause=record.unavailable))
            continue
        if record.cell_id in whole.seconds:
            seconds[len(possible)] = whole.seconds[record.cell_id]
        possible.append(setting)
    if not possible:
        raise HerdError("Tuning: no setting can run here.\n" + "\n".join(cannot_run(whole)))
    if possible == [space.default]:
        told = "\n".join(cannot_run(whole))
        raise HerdError(f"Tuning: no other setting than the default can run here.\n{told}")
    default_fails = next((one.cause for one in refused if one.setting == space.default), None)
    return KnownSettings(space.axes, tuple(possible), tuple(refused), default_fails, seconds, whole)


def _with(matrix: SettingsMatrix, settings: Sequence[Setting]) -> SettingsMatrix:
    return matrix.model_copy(update={"settings": tuple(map(dict, settings))})


def begin(asked: TuningQuestion, results: Path, look: Look, run: Run, say: Say) -> TuningRecord:
    """Choose the settings of a new search and write them down.

    Where time is the budget and nothing is known of it, two trials of the default come first.

    Raises:
        HerdError: as `settings_of`; the budget pays for no search; another process measures; it
            cannot be written.
    """
    found = settings_of(asked, results, look)
    if asked.allowed.seconds is not None and not found.seconds:
        say(f"How long a trial takes is not known: {PILOT_TRIALS} trials are measured first.")
        base = default_matrix(asked.matrix)
        pilot = matrix_of(
            base,
            [found.possible[0]],
            title=title_of(base, "pilot"),
            repeats=PILOT_TRIALS,
            seed=int(asked.key[:7], 16),
        )
        measure_whole(pilot, run, "the pilot")
        found = settings_of(asked, results, look)
    share = _share(asked, found)
    record = TuningRecord(
        name=new_name(results),
        asked=asked.key,
        created_at=time.time(),
        axes={name: tuple(values) for name, values in found.axes.items()},
        settings=tuple(sample(found.possible, share.settings, asked.matrix.seed)),
        combinations=len(found.possible),
        impossible=found.impossible,
        default_fails=found.default_fails,
        search=share.search,
        in_seconds=share.in_seconds,
        budget=asked.allowed.words,
        pairs=asked.pairs,
        speed=asked.speed,
    )
    # While another process measures, a second search of the same question would replace its own.
    with own_results(results, Owner.me()):
        write_search(results, record)
    return record


def _share(asked: TuningQuestion, found: KnownSettings) -> BudgetShare:
    warmup = max(1, asked.matrix.warmup)
    return share_out(asked.allowed, len(found.possible), asked.pairs, warmup, found.trial_s)


def search_lines(asked: TuningQuestion, results: Path, look: Look) -> list[str]:
    """What a search would do, in lines: settings, rungs, trials and time; nothing is measured."""
    known = find_search(results, asked.key)
    if known is not None:
        told = f"The search {known.name} was begun with this command, which continues it."
        settings = [f"  {words_of(one)}" for one in known.settings]
        return [told, "Its settings:", *settings, "To begin another one: --new."]
    found = settings_of(asked, results, look)
    share = _share(asked, found)
    chosen = sample(found.possible, share.settings, asked.matrix.seed)
    lines = [
        f"{len(chosen)} of {len(found.possible)} settings that can run here, the default first:"
    ]
    lines += [f"  {words_of(one)}" for one in chosen]
    if found.impossible:
        lines.append("Settings that cannot run here:")
        lines += [f"  {words_of(one.setting)}: {one.cause}" for one in found.impossible]
    lines += ["Rungs, if each keeps the better half:", *schedule_lines(len(chosen))]
    warmup = max(1, asked.matrix.warmup)
    lines.append(
        f"  confirmation: {asked.pairs} pairs of the best one and the default, {2 * warmup} trials "
        "before them not counted"
    )
    return [*lines, *_estimate(len(chosen), share, 2 * (asked.pairs + warmup), found)]


def _estimate(settings: int, share: BudgetShare, last: int, found: KnownSettings) -> list[str]:
    fewest = plain_trials(settings)
    most = max(fewest, round(share.search / (found.trial_s if share.in_seconds else 1.0)))
    basis = (
        "by earlier trials of these settings"
        if found.seconds
        else f"none was measured yet: assuming {SECONDS_ASSUMED:.0f} s a trial"
    )
    ends = [spoken_time((trials + last) * found.trial_s) for trials in (fewest, most)]
    slow = "A slow setting takes longer than the default, in the first rung."
    return [
        f"{fewest + last} to {most + last} trials: more than the fewest where settings are alike.",
        f"Estimated time: {ends[0]} to {ends[1]} ({basis}). {slow}",
    ]
