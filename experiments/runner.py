"""Run a matrix: every trial once, whatever dies in between."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collect.account import Account
from collect.attempt import TEMPORARY_PREFIX
from collect.errors import HerdError
from experiments.cluster import CONTROLLER, Cluster
from experiments.controller import WithController, check_controller
from experiments.durable import remove_folder
from experiments.facts import ask_facts
from experiments.herd import Herd
from experiments.ledger import Ledger, create_run, find_planned, new_run_name
from experiments.manifest import changes, run_manifest
from experiments.matrix import Matrix
from experiments.money import Purse, run_purse
from experiments.owner import Owner, own_results
from experiments.plan import RESULTS_FOLDER, Plan, impossible, make_plan, needed_cluster, plan_id
from experiments.progress import Progress
from experiments.protocol import Transport
from experiments.references import references_of
from experiments.remote import SshTransport
from experiments.session import Session
from experiments.shaping.links import Links


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a call of `run_matrix` ended.

    Attributes:
        folder: the run's folder.
        counts: planned, done, failed, unavailable, pending.
        already_complete: there was nothing left to do.
        interrupted: the user pressed Ctrl-C; the ledger is whole.
        notes: what the user should know, a sentence each.
        bill: what asking APIs cost in the run so far, a line a system.
    """

    folder: Path
    counts: dict[str, int]
    already_complete: bool = False
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())
    bill: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 1 while trials are failed or pending, else 0."""
        if self.interrupted:
            return 130
        return 1 if self.counts["failed"] or self.counts["pending"] else 0


def run_matrix(
    matrix: Matrix,
    project: Path,
    *,
    progress: Progress,
    new: bool = False,
    command: Sequence[str] = (),
    inventory: str | None = None,
    max_cost: float | None = None,
) -> RunResult:
    """Begin or continue the run of a matrix on the inventory's cluster.

    Args:
        matrix: what to measure.
        project: folder of `fabfile.py`; results go below it.
        progress: told what happens.
        new: begin another run although there is one of this plan.
        command: the command line, for reproducing it.
        inventory: another inventory than that of `ansible.cfg`.
        max_cost: what asking APIs may cost in the whole run; None for no ceiling.

    Raises:
        HerdError: the lab is down, a node does not answer or belongs to another runner, the
            cluster is not the one that the run began on, the disk is full …
    """
    cluster = needed_cluster(matrix, project, inventory)
    transport = SshTransport(project)
    try:
        return run_on(
            matrix,
            cluster,
            transport,
            project / RESULTS_FOLDER,
            progress=progress,
            new=new,
            command=command,
            toolkit=_toolkit(project),
            max_cost=max_cost,
        )
    finally:
        transport.close()


def run_on(
    matrix: Matrix,
    cluster: Cluster,
    transport: Transport,
    results: Path,
    *,
    progress: Progress,
    new: bool = False,
    command: Sequence[str] = (),
    toolkit: str = "",
    owner: Owner | None = None,
    max_cost: float | None = None,
) -> RunResult:
    """Begin or continue a run on nodes that a transport reaches.

    Args:
        matrix: what to measure.
        cluster: the nodes that the matrix needs.
        transport: reaches them; the caller closes it.
        results: folder of all runs.
        progress: told what happens.
        new: begin another run although there is one of this plan.
        command: the command line, for reproducing it.
        toolkit: version of this toolkit.
        owner: who runs; this process if not given.
        max_cost: what asking APIs may cost in the whole run; None for no ceiling.

    Raises:
        HerdError: as `run_matrix`.
    """
    owner = owner or Owner.me()
    with own_results(results, owner):
        for leftover in results.glob(f"{TEMPORARY_PREFIX}*"):
            remove_folder(leftover)
        known = None if new else find_planned(results, plan_id(matrix, cluster))
        account = None
        if known is not None:
            ledger = Ledger(known)
            ledger.recover()
            account = ledger.account()
            counts = account.counts()
            if not counts["pending"]:
                return RunResult(known, counts, already_complete=True)
        plan = make_plan(matrix, ask_facts(cluster, transport), results, account)
        cells = plan.by_id.values()
        check_controller(cells, plan.cluster)
        purse = run_purse(plan.by_id, account, _pending(plan, account), max_cost)
        purse.require()
        for line in (*impossible(plan), *purse.estimate()):
            progress.note(line)
        here = (CONTROLLER,) if any(cell.endpoint for cell in cells) else ()
        herd = Herd(WithController(transport, results), (*plan.cluster.nodes, *here), owner)
        links = Links(plan.cluster.nodes)
        try:
            herd.own_all()
            links.clear()
            account = _open_run(account, plan, results, command, toolkit)
            return _measure(account, plan, herd, links, progress, purse)
        finally:
            links.close()
            herd.close()


def _open_run(
    account: Account | None, plan: Plan, results: Path, command: Sequence[str], toolkit: str
) -> Account:
    """The run to continue, or a new one.

    Raises:
        HerdError: the world is another one than when the run began.
    """
    if account is None:
        name = new_run_name(results, Path(plan.matrix.file).stem or "run")
        manifest = run_manifest(plan, name, command, toolkit)
        return Ledger(create_run(results, manifest, references_of(plan))).account()
    manifest = account.manifest
    changed = changes(manifest, plan)
    if changed:
        raise HerdError(
            f"Continuing the run {manifest.run}: since it began, {'; '.join(changed)}. Its "
            "trials would not be comparable. Put that back, or begin another run with --new."
        )
    return account


def _pending(plan: Plan, account: Account | None) -> Counter[str]:
    """How many trials are left of each cell that can run."""
    possible = {cell.cell_id for cell in plan.cells if cell.unavailable is None}
    if account is None:
        return Counter(t.cell_id for t in plan.trials if t.cell_id in possible)
    return Counter(
        state.cell.cell_id
        for state in account.trials
        if state.state == "pending" and state.cell.cell_id in possible
    )


def _measure(
    account: Account,
    plan: Plan,
    herd: Herd,
    links: Links,
    progress: Progress,
    purse: Purse,
) -> RunResult:
    folder = account.folder
    session = Session(plan, account, Ledger(folder), herd, progress, purse, links)
    progress.begin(folder.name, session.book.counts(), session.left_s())
    try:
        notes = session.measure()
    except KeyboardInterrupt:
        counts = session.book.counts()
        return RunResult(folder, counts, interrupted=True, bill=tuple(purse.lines()))
    finally:
        progress.end()
    counts = session.book.counts()
    return RunResult(folder, counts, notes=notes, bill=tuple(purse.lines()))


def _toolkit(project: Path) -> str:
    """Version of this toolkit: the commit where there is one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
