"""The loop: every pending trial of a run, in order, on a herd that this process owns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from collect.account import Account
from collect.attempt import AttemptRecord
from collect.cells import CellRecord, TrialRecord
from collect.labels import cell_label
from collect.run import RunManifest
from core.errors import HerdError
from experiments.disk.ledger import Ledger, write_attempt
from experiments.disk.rescue import rescued
from experiments.disk.reserve import reserved, room_for
from experiments.engines import ENGINES
from experiments.engines.base import Cell, Deployment
from experiments.engines.several import deploy_all
from experiments.fleet.cluster import CONTROLLER, LEFT_OUT
from experiments.links.keeper import KeeperError
from experiments.links.links import Links
from experiments.nodes.herd import Herd
from experiments.nodes.told import unread
from experiments.planning.money import Purse, most_of_trial, spending_of
from experiments.planning.plan import Plan, warm_ups
from experiments.plugs.watch import PlugWatch
from experiments.sessions.book import TrialBook
from experiments.sessions.lineup import Lineup, why_left
from experiments.sessions.progress import Progress, RunningTrial
from experiments.sessions.until import Narrowing, Until
from experiments.trials.execution import Execution
from experiments.trials.recorder import Recorder
from experiments.trials.trial import TrialRunner
from experiments.trials.validity import failure

LOOK_AGAIN_S = 60.0
"""Between two looks for nodes that are lost."""
Deployments = tuple[Deployment, ...]
"""Those of a trial: one, or several at once."""
MOST_IN_VAIN = 2
"""Times that all is gone through without one attempt: a node that comes and goes blocks no one."""


class Session:
    """Measures what is pending.

    Args:
        plan: cells and cluster, as they are now.
        account: the current state of the run.
        ledger: where attempts go.
        herd: the nodes, owned.
        progress: hears what happens.
        purse: the budget.
        links: between the nodes.
        plugs: that feed nodes; the caller closes them.
        until: when cells are measured enough; None to measure what was planned.
    """

    def __init__(
        self,
        plan: Plan,
        account: Account,
        ledger: Ledger,
        herd: Herd,
        progress: Progress,
        purse: Purse,
        links: Links,
        plugs: PlugWatch | None = None,
        until: Until | None = None,
    ) -> None:
        self._links = links
        self._plugs = plugs or PlugWatch()
        self._narrowing = Narrowing(account, until)
        self._purse = purse
        self._ledger = ledger
        self._herd = herd
        self._progress = progress
        self._seconds = dict(plan.seconds)
        self._warmed: set[str] = set()
        self._in_vain: dict[str, str] = {}
        self._engine = ""
        self._is_emulated = False
        self._looked_at = self._settled_at = time.monotonic()
        self._between_s: list[float] = []
        self._trials = TrialRunner(herd, self._live, self._plugs)
        self.book = TrialBook(account.trials)
        self._lineup = Lineup(plan, account.manifest, self.book, ledger, herd, links, progress.note)
        self._recorder = Recorder(account.manifest, herd)

    @property
    def _manifest(self) -> RunManifest:
        return self._lineup.manifest

    @property
    def _cells(self) -> Mapping[str, CellRecord]:
        return self._lineup.cells

    def measure(self) -> tuple[str, ...]:
        """Measure every pending trial, those of lost nodes when these are back.

        Returns:
            What the user should know about what was left out.

        Raises:
            HerdError: the ledger cannot be written.
        """
        self._read_idle()
        in_vain = 0
        while in_vain < MOST_IN_VAIN:
            recorded = self._once_through()
            in_vain = 0 if recorded else in_vain + 1
            if self._missed():
                self._herd.regain()
                self._take_up()
            if all(self._must_wait(trial) for trial in self._pending()) and not self._extend():
                break
        self._trials.stop_kept()
        return self._left()

    def _read_idle(self) -> None:
        """Read what the machines take that do nothing yet, where plugs count it."""
        if self._plugs.are_there and not all(map(self._must_wait, self._pending())):
            reasons = self._herd.reasons()
            absent = [name for name, reason in reasons.items() if reason != LEFT_OUT]
            for line in self._plugs.read_idle(absent):
                self._progress.note(line)

    def _extend(self) -> bool:
        """Plan one more block of cells whose interval is still wide; whether there are such."""
        block = self._narrowing.block(self._manifest, {one.cell_id for one in self._pending()})
        if block:
            self._lineup.extend(block)
            self._recorder = Recorder(self._manifest, self._herd)
        return bool(block)

    def _once_through(self) -> int:
        """Measure all that can run, block by block; how many attempts were recorded."""
        recorded = 0
        for index in range(len(self._lineup.blocks)):
            self._look_for_lost()
            for place in range(len(self._lineup.blocks[index])):
                # When a node comes back, trials that waited for it get other names.
                trial = self._lineup.blocks[index][place]
                if self.book.state(trial.trial_id) == "pending":
                    recorded += self._until_settled(trial)
        return recorded

    def _missed(self) -> set[str]:
        """Lost nodes that trials wait for."""
        needed = {node for trial in self._pending() for node in self._nodes_of(trial)}
        return needed & set(self._herd.lost())

    def _left(self) -> tuple[str, ...]:
        """What is left and why."""
        reasons, missed = self._herd.reasons(), self._missed()
        lost = (why_left(node, reasons[node]) for node in reasons if node in missed)
        in_vain = (
            f"{cell_label(self._cells[cell_id].params)}: {reason}. Its trials are skipped; fix "
            "this and repeat the command."
            for cell_id, reason in self._in_vain.items()
        )
        unsteady = {
            name: None
            for trial in self._pending()
            if not self._must_wait(trial)
            for name in self._nodes_of(trial)
        }
        left = (
            f"Trials on {', '.join(unsteady)} are skipped: some of these nodes came back and "
            "were lost again each time. Repeat the command when they are stable."
        )
        return (*lost, *in_vain, *([left] if unsteady else []))

    def _look_for_lost(self) -> None:
        """Try lost nodes again during the trials of the others, and take in those that are back."""
        if not self._herd.lost():
            return
        if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            self._herd.seek()
            self._looked_at = time.monotonic()
        self._take_up()

    def _take_up(self) -> None:
        if self._lineup.take_up():
            self._recorder = Recorder(self._manifest, self._herd)

    def left_s(self) -> float | None:
        """Estimated time for what is pending and does not wait; None while nothing is known."""
        pending = self._pending_now()
        known = {cell: count for cell, count in pending.items() if cell in self._seconds}
        if not pending.total():
            return 0.0
        if not any(known.values()):
            return None
        known_s = sum(count * self._seconds[cell] for cell, count in known.items())
        between_s = median(self._between_s) if self._between_s else 0.0
        return pending.total() * (known_s / sum(known.values()) + between_s)

    def _pending_now(self) -> Counter[str]:
        """How many trials are pending of each cell that does not wait for a node."""
        lost, pending = self._herd.lost(), self.book.pending_of
        if not lost:
            return pending
        return Counter(
            {
                cell_id: count
                for cell_id, count in pending.items()
                if not any(node in lost for node in self._cells[cell_id].nodes)
            }
        )

    def _pending(self) -> list[TrialRecord]:
        return [t for t in self._manifest.trials if self.book.state(t.trial_id) == "pending"]

    def _must_wait(self, trial: TrialRecord) -> bool:
        """Whether a node of it is lost, or its cell fails for a reason that the user must fix."""
        lost = self._herd.lost()
        return trial.cell_id in self._in_vain or any(n in lost for n in self._nodes_of(trial))

    def _nodes_of(self, trial: TrialRecord) -> tuple[str, ...]:
        return self._cells[trial.cell_id].nodes

    def _until_settled(self, trial: TrialRecord) -> int:
        """Attempt a trial until it is done, out of attempts, or a node is lost.

        Returns:
            How many attempts were recorded.
        """
        if self._must_wait(trial):
            return 0
        plan = self._lineup.plan
        cell = replace(plan.by_id[trial.cell_id], repeat=trial.repeat)
        deployments = deploy_all(ENGINES[cell.engine], cell, plan.cluster)
        self._engine = cell.engine
        used = self._cells[trial.cell_id].nodes
        self._is_emulated = any(self._manifest.nodes[name].get("emulated") for name in used)
        recorded = 0
        while self.book.state(trial.trial_id) == "pending" and not self._must_wait(trial):
            self._warm_up(trial, cell, deployments)
            if self._must_wait(trial):
                break
            self._attempt(trial, cell, deployments)
            recorded += 1
        return recorded

    def _warm_up(self, trial: TrialRecord, cell: Cell, deployments: Deployments) -> None:
        """Run a cell unmeasured: first in the session, or when its reused workers are new."""
        cold = cell.keeps_workers and not all(map(self._trials.is_warm, deployments))
        if trial.cell_id in self._warmed and not cold:
            return
        for number in range(1, warm_ups(cell, self._manifest.warmup) + 1):
            self._progress.step(self._step(trial, 0))
            name = f"{trial.cell_id}-w{number}"
            execution = self._execute(cell, deployments, name)
            if failure(execution):
                self._trials.stop_kept()
                return
        self._warmed.add(trial.cell_id)

    def _attempt(self, trial: TrialRecord, cell: Cell, deployments: Deployments) -> None:
        self._purse.refuse_beyond(most_of_trial(cell))
        number = self.book.attempts[trial.trial_id] + 1
        attempt_id = f"{trial.trial_id}-a{number}"
        self._progress.step(self._step(trial, number))
        with reserved(self._ledger.attempts, room_for(cell)):
            execution = self._execute(cell, deployments, attempt_id)

        def make_record(folder: Path) -> AttemptRecord:
            expected = sum(one.expected_samples for one in deployments)
            record = self._recorder.record_of(folder, trial, number, execution, expected)
            return record.model_copy(update={"scored": deployments[0].scored})

        def write(folder: Path) -> AttemptRecord:
            return write_attempt(folder, execution.logs, make_record)

        with rescued(self._manifest.run, attempt_id, write if room_for(cell) else None):
            record = self._ledger.record(attempt_id, execution.logs, make_record)
        self.book.attempts[trial.trial_id] = number
        self._purse.pay(spending_of(self._ledger.attempts / attempt_id, record, cell))
        if record.outcome == "done":
            self.book.settle(trial, "done")
            self._narrowing.learn(trial, self._ledger.attempts / attempt_id, record)
            self._time(trial.cell_id, record.trial_wall_s)
        else:
            self._trials.stop_kept()
            label = cell_label(cell.params)
            self._progress.note(f"{label}, attempt {number}: {record.outcome}: {record.cause}")
            self._use_up(trial, record)
        self._progress.settled(self.book.counts(), self.left_s())

    def _time(self, cell_id: str, trial_s: float) -> None:
        """Note what a trial took, and what came before: starting workers, warming up, checks."""
        self._seconds[cell_id] = trial_s
        now = time.monotonic()
        self._between_s.append(max(0.0, now - self._settled_at - trial_s))
        self._settled_at = now

    def _execute(self, cell: Cell, deployments: Deployments, name: str) -> Execution:
        """Carry out a trial over the links that its cell asks for."""
        try:
            link = self._links.have(cell)
        except KeeperError as error:
            self._herd.lose(error.node)
            execution = Execution(started_at=time.time())
            execution.lose({error.node: str(error)}, "its link was set")
            return execution
        execution = self._carried_out(cell, deployments, name)
        execution.link = link
        problem = self._links.problem(cell)
        if problem is not None:
            execution.blame(f"{problem}, after the trial")
        return execution

    def _carried_out(self, cell: Cell, deployments: Deployments, name: str) -> Execution:
        """Carry out a trial; it has ended afterwards, no matter what reading the nodes raises."""
        started_at = time.time()
        try:
            return self._trials.execute_all(deployments, name, keep=cell.keeps_workers)
        except HerdError:
            raise
        except Exception as error:  # noqa: BLE001 - what others say may raise anything
            execution = Execution(started_at=started_at, trial_wall_s=time.time() - started_at)
            execution.blame(unread("what its nodes said", error))
            # What still runs there ends with the conversation; the next one begins anew.
            for node in self._cells[name.partition("-")[0]].nodes or (CONTROLLER.name,):
                self._herd.lose(node)
            if cell.endpoint is not None:
                self._herd.regain()
                self._take_up()
            return execution

    def _use_up(self, trial: TrialRecord, record: AttemptRecord) -> None:
        """Count a failed attempt; one that cannot succeed only ends its cell for this session."""
        if record.in_vain:
            self._in_vain[trial.cell_id] = str(record.cause).rpartition(" said: ")[2]
            return
        self.book.used[trial.trial_id] += 1
        if record.is_final or self.book.used[trial.trial_id] >= self._manifest.max_attempts:
            self.book.settle(trial, "failed")

    def _step(self, trial: TrialRecord, attempt: int) -> RunningTrial:
        return RunningTrial(
            self._lineup.plan.label(self._cells[trial.cell_id]),
            trial.order,
            len(self._manifest.trials),
            attempt,
        )

    def _live(self, tail: str) -> None:
        """Pass the root's rate on, unless it is an emulator's: that is no speed."""
        if not self._is_emulated:
            self._progress.live(ENGINES[self._engine].live_rate(tail))
