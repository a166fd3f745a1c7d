"""Who takes part in a session, and what can run with them; both change when a node comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from collect.cells import TrialRecord
from collect.labels import cell_label
from collect.later import Later, added
from collect.load import load_references
from collect.run import RunManifest
from collect.workloads import Greedy
from core.errors import HerdError
from experiments.disk.ledger import Ledger
from experiments.fleet.cluster import CONTROLLER, LEFT_OUT, Node
from experiments.links.links import Links
from experiments.nodes.herd import Herd
from experiments.planning.plan import Plan, make_plan
from experiments.planning.references import more_references
from experiments.sessions.again import look_again, node_difference
from experiments.sessions.book import TrialBook


class Lineup:
    """The nodes of a session.

    Args:
        plan: as things are, its cells under the ids of the run.
        manifest: the run.
        book: its trials.
        ledger: where what becomes known is added.
        herd: the nodes.
        links: between them.
        note: hears what the user should know.

    Attributes:
        plan: as things are now.
        manifest: the run, with all that is known by now.
    """

    def __init__(
        self,
        plan: Plan,
        manifest: RunManifest,
        book: TrialBook,
        ledger: Ledger,
        herd: Herd,
        links: Links,
        note: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.manifest = manifest
        self._book = book
        self._ledger = ledger
        self._herd = herd
        self._links = links
        self._note = note
        self._told = herd.reasons()
        self._arrange()

    def _arrange(self) -> None:
        self.cells = {cell.cell_id: cell for cell in self.manifest.cells}
        blocks: dict[int, list[TrialRecord]] = {}
        for trial in self.manifest.trials:
            blocks.setdefault(trial.block, []).append(trial)
        self.blocks = tuple(blocks.values())

    def extend(self, trials: Sequence[TrialRecord]) -> None:
        """Add one more block to the run, on disk first.

        Raises:
            HerdError: it cannot be written.
        """
        later = Later(run=self.manifest.run, at=time.time(), trials=tuple(trials))
        self._ledger.add(later)
        self.manifest = added(self.manifest, later)
        self._book.plan(trials)
        self._arrange()

    def take_up(self) -> bool:
        """Let nodes that came back take part, unless they are others than before.

        What is known of them for the first time is added to the run.

        Returns:
            Whether there was one.

        Raises:
            HerdError: the ledger cannot be written.
        """
        back = [node for node in self._herd.arrived() if self._is_welcome(node)]
        if not back or not self._plan_with(back):
            return False
        for node in back:
            self._herd.take_up(node.name)
            self._told.pop(node.name, None)
            if node.name != CONTROLLER.name:
                self._note(f"{node.name} is back and takes part.")
        return True

    def _is_welcome(self, node: Node) -> bool:
        """Return whether a node is unchanged, after its links were restored."""
        reason = node_difference(self.manifest, node)
        try:
            self._links.clear([node.name])
        except HerdError as error:
            reason = reason or str(error)
        if reason is not None:
            self._turn_away(node, reason)
        return reason is None

    def _turn_away(self, node: Node, reason: str) -> None:
        self._herd.turn_away(node.name, reason)
        if self._told.get(node.name) != reason:
            self._note(reason)
        self._told[node.name] = reason

    def _plan_with(self, back: list[Node]) -> bool:
        """Plan with nodes that came back; whether that can be."""
        now = {node.name: node for node in back}
        nodes = tuple(now.get(node.name, node) for node in self.plan.cluster.nodes)
        plan = make_plan(self.plan.matrix, replace(self.plan.cluster, nodes=nodes))
        try:
            again = look_again(self.manifest, self._tried(), self._left(), plan)
        except HerdError as error:
            for node in back:
                self._turn_away(node, str(error))
            return False
        later = self._written(again.plan, again.later)
        before, self.plan = self.manifest, again.plan
        if later is not None:
            self.manifest = added(before, later)
            impossible = {c.cell_id for c in self.manifest.cells if c.unavailable is not None}
            self._book.learn(before.trials, self.manifest.trials, impossible)
            for cell in later.cells.values():
                if cell.unavailable is not None:
                    self._note(f"{cell_label(cell.params)} cannot run: {cell.unavailable}")
            self._arrange()
        return True

    def _written(self, plan: Plan, later: Later) -> Later | None:
        return None if later.is_empty else add_later(self._ledger, plan, later)

    def _tried(self) -> set[str]:
        return {t.cell_id for t in self.manifest.trials if self._book.attempts[t.trial_id]}

    def _left(self) -> set[str]:
        states = ("pending", "unavailable")
        return {t.cell_id for t in self.manifest.trials if self._book.state(t.trial_id) in states}


def add_later(ledger: Ledger, plan: Plan, later: Later) -> Later:
    """Write down what became known of a run, with what its new texts are compared with.

    Raises:
        HerdError: it cannot be written, or a model cannot be had.
    """
    if any(isinstance(workload, Greedy) for workload in plan.matrix.workloads):
        more = more_references(plan, load_references(ledger.folder))
        later = later.model_copy(update={"references": more})
    ledger.add(later)
    return later


def why_left(node: str, reason: str) -> str:
    """That trials wait for a node and what to do about it; the reason last, it may be a command."""
    if reason == LEFT_OUT:
        return (
            f"{node} is left out (--without), so trials that need it wait. Repeat the command "
            "without that flag to measure them, or start a run on the other nodes with --new."
        )
    return f"Trials that need {node} wait; repeat the command when this is fixed: {reason}"
