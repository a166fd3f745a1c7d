"""How a run begins or continues: which one it is, what can run now, what is written down first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collect.account import Account
from collect.later import Later, added
from core.errors import HerdError
from experiments.disk.ledger import Ledger, create_run, find_planned, new_run_name
from experiments.fleet.cluster import LEFT_OUT, Cluster
from experiments.planning.manifest import run_manifest
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, make_plan, plan_id, seconds_per_trial, those_left, trim
from experiments.planning.references import references_of
from experiments.sessions.again import held_against, look_again
from experiments.sessions.lineup import add_later, why_left


@dataclass(frozen=True, slots=True)
class Start:
    """A run at its beginning, or as it can go on; on disk nothing has changed yet.

    Attributes:
        plan: as things are, its cells under the ids of the run.
        account: of the continued run, with what became known since; None of a new one.
        later: what that is; None if nothing.
        pending: trials that are left of each cell that can run or waits.
        wide: ids of cells that can run and whose interval is still too wide.
    """

    plan: Plan
    account: Account | None
    later: Later | None
    pending: Counter[str]
    wide: frozenset[str] = frozenset()

    @property
    def is_complete(self) -> bool:
        """Whether nothing of a run that continues can be measured."""
        return self.account is not None and not self.pending and not self.wide

    def with_seconds(self, results: Path) -> Start:
        """The same, with what trials of its cells took so far."""
        seconds = seconds_per_trial(results, self.plan.by_id, self.account)
        return replace(self, plan=replace(self.plan, seconds=seconds))

    def write(self, results: Path, command: Sequence[str], toolkit: str) -> Account:
        """Write the new run, or what became known of one; return its state afterwards.

        Raises:
            HerdError: it cannot be written.
        """
        if self.account is None:
            name = new_run_name(results, Path(self.plan.matrix.file).stem or "run")
            manifest = run_manifest(self.plan, name, command, toolkit)
            return Ledger(create_run(results, manifest, references_of(self.plan))).account()
        if self.later is not None:
            add_later(Ledger(self.account.folder), self.plan, self.later)
        return self.account

    def require_runnable(self) -> None:
        """See that not everything that is left waits for nodes.

        Raises:
            HerdError: it does; with the reasons.
        """
        left = [c for c in self.plan.cells if self.pending[c.cell_id] or c.cell_id in self.wide]
        away = [self.plan.waits_for(cell) for cell in left]
        if not left or not all(away):
            return
        needed = {name for names in away for name in names}
        known = self.account
        doing = f"Continuing the run {known.folder.name}" if known else "Starting a run"
        reasons = (
            why_left(node.name, node.away or "")
            for node in self.plan.cluster.nodes
            if node.name in needed
        )
        told = "\n".join(reasons)
        raise HerdError(f"{doing}: none of the remaining trials can run now.\n{told}")


def known_run(
    matrix: Matrix, cluster: Cluster, results: Path, *, new: bool
) -> tuple[Account | None, Cluster]:
    """Return the run to continue, and the nodes that it needs.

    With nodes left out, that is the latest run on the others; or a later one on all nodes that has
    trials left, where what needs those that are left out waits.

    Args:
        matrix: what to measure.
        cluster: the nodes of the inventory; those that are left out are marked.
        results: folder of all runs.
        new: begin another run in any case.

    Returns:
        None for a run that is to begin.

    Raises:
        HerdError: the inventory has fewer nodes than the matrix asks for, or a run of it cannot be
            read.
    """
    whole, left = trim(cluster, matrix), those_left(cluster, matrix)
    if new:
        return None, left
    own = _account(results, matrix, left)
    if all(node.away != LEFT_OUT for node in whole.nodes):
        return own, left
    on_all = _account(results, matrix, whole)
    is_later = own is None or (
        on_all is not None and on_all.manifest.created_at > own.manifest.created_at
    )
    if on_all is not None and is_later and on_all.counts()["pending"]:
        return on_all, whole
    return own, left


def _account(results: Path, matrix: Matrix, cluster: Cluster) -> Account | None:
    folder = find_planned(results, plan_id(matrix, cluster))
    if folder is None:
        return None
    ledger = Ledger(folder)
    ledger.recover()
    return ledger.account()


def is_left(account: Account) -> bool:
    """Whether something of a run is still to be measured, or could not run when last looked at."""
    counts = account.counts()
    return bool(counts["pending"] or counts["unavailable"])


def start_of(
    matrix: Matrix, cluster: Cluster, account: Account | None, wide: Collection[str] = ()
) -> Start:
    """What can run now, of a new run or of what is left of one.

    Args:
        matrix: what to measure.
        cluster: the nodes, asked as far as they are there.
        account: of the continued run.
        wide: ids of its cells that get more trials, if they can still run.

    Raises:
        HerdError: the run cannot go on: its cells are other ones.
    """
    if account is None:
        plan = make_plan(matrix, cluster)
        possible = {cell.cell_id for cell in plan.cells if cell.unavailable is None}
        pending = Counter(t.cell_id for t in plan.trials if t.cell_id in possible)
        return Start(plan, None, None, pending)
    manifest = account.manifest
    again = look_again(
        manifest,
        {one.cell.cell_id for one in account.trials if one.attempts},
        {one.cell.cell_id for one in account.trials if one.state in ("pending", "unavailable")}
        | set(wide),
        make_plan(matrix, held_against(manifest, cluster)),
    )
    later = None if again.later.is_empty else again.later
    if later is not None:
        account = account.known_as(added(manifest, later))
    pending = Counter(one.cell.cell_id for one in account.trials if one.state == "pending")
    runnable = (c.cell_id for c in account.manifest.cells if c.unavailable is None)
    return Start(again.plan, account, later, pending, frozenset(wide) & frozenset(runnable))
