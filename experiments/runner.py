"""Run a matrix: every trial once, even if nodes or the runner die in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from collect.account import Account
from collect.attempt import TEMPORARY_PREFIX
from core.durable import remove_folder
from core.paths import RESULTS_FOLDER
from core.version import version
from experiments.disk.ledger import Ledger
from experiments.fleet.cluster import CONTROLLER, Cluster
from experiments.links.links import Links
from experiments.nodes.controller import WithController
from experiments.nodes.facts import ask_node, look
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Launcher
from experiments.nodes.owner import Owner, own_results
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.describe import impossible, waiting_lines
from experiments.planning.matrix import Matrix
from experiments.planning.money import Purse, run_purse
from experiments.planning.plan import Plan, inventory_of
from experiments.planning.precision import require_speed
from experiments.planning.preflight import check_controller
from experiments.planning.shared_gpus import shared_gpus
from experiments.plugs.watch import PlugWatch
from experiments.sessions.live import WrittenProgress
from experiments.sessions.progress import Progress
from experiments.sessions.session import Session
from experiments.sessions.start import Start, is_left, known_run, start_of
from experiments.sessions.until import Until, wide_cells


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
    without: Sequence[str] = (),
    max_cost: float | None = None,
    until: Until | None = None,
) -> RunResult:
    """Begin or continue the run of a matrix on the inventory's cluster.

    Args:
        matrix: what to measure.
        project: folder of `fabfile.py`; results go below it.
        progress: hears what happens.
        new: begin another run although there is one of this plan.
        command: the command line, for reproducing it.
        inventory: another inventory than that of `ansible.cfg`.
        without: names of nodes to leave out (`plan.leave_out`).
        max_cost: what asking APIs may cost in the whole run; None for no ceiling.
        until: when cells are measured enough; None to measure what the matrix plans.

    Raises:
        HerdError: the lab is down, nothing can run because nodes do not answer, belong to another
            runner or are not those that the run began on, the disk is full …
    """
    cluster = inventory_of(matrix, project, inventory, without)
    launcher = SshLauncher(project)
    try:
        return run_on(
            matrix,
            cluster,
            launcher,
            project / RESULTS_FOLDER,
            progress=progress,
            new=new,
            command=command,
            toolkit=version(project),
            max_cost=max_cost,
            until=until,
        )
    finally:
        launcher.close()


def run_on(
    matrix: Matrix,
    cluster: Cluster,
    launcher: Launcher,
    results: Path,
    *,
    progress: Progress,
    new: bool = False,
    command: Sequence[str] = (),
    toolkit: str = "",
    owner: Owner | None = None,
    max_cost: float | None = None,
    until: Until | None = None,
) -> RunResult:
    """Begin or continue a run on nodes that a launcher reaches.

    Args:
        matrix: what to measure.
        cluster: the inventory's nodes; what needs one that is marked as left out waits for it if
            the run was begun on it, and a new run is planned on the others.
        launcher: reaches them; the caller closes it.
        results: folder of all runs.
        progress: hears what happens.
        new: begin another run although there is one of this plan.
        command: the command line, for reproducing it.
        toolkit: version of this toolkit.
        owner: who runs; this process if not given.
        max_cost: what asking APIs may cost in the whole run; None for no ceiling.
        until: when cells are measured enough; None to measure what the matrix plans.

    Raises:
        HerdError: as `run_matrix`.
    """
    owner = owner or Owner.me()
    progress = WrittenProgress(progress, results)
    require_speed(matrix.workloads, None if until is None else until.share, "until")
    with own_results(results, owner):
        for leftover in results.glob(f"{TEMPORARY_PREFIX}*"):
            remove_folder(leftover)
        account, cluster = known_run(matrix, cluster, results, new=new)
        wide = wide_cells(account, until) if account is not None else frozenset()
        if account is not None and not is_left(account) and not wide:
            return RunResult(account.folder, account.counts(), already_complete=True)
        cells = matrix.cells(cluster)
        check_controller(cells, cluster)
        cluster = look(cluster, launcher)
        start = start_of(matrix, cluster, account, wide)
        if start.is_complete:
            return _nothing_left(start, results, progress)
        start.require_runnable()
        here = (CONTROLLER,) if any(cell.endpoint for cell in cells) else ()
        herd = Herd(
            WithController(launcher, results),
            (*start.plan.cluster.nodes, *here),
            owner,
            lambda node: node if node is CONTROLLER else ask_node(node, launcher),
        )
        links = Links(cluster.nodes)
        try:
            herd.own_those_there()
            cluster = _with_reasons(cluster, herd.reasons())
            start = start_of(matrix, cluster, account, wide).with_seconds(results)
            start.require_runnable()
            purse = run_purse(start.plan.by_id, start.account, start.pending, max_cost)
            purse.require()
            links.clear([node.name for node in cluster.nodes if node.away is None])
            for line in (
                *impossible(start.plan),
                *waiting_lines(start.plan, start.pending),
                *shared_gpus(start.plan),
                *purse.estimate(),
            ):
                progress.note(line)
            account = start.write(results, command, toolkit)
            with closing(PlugWatch(cluster.plugs)) as plugs:
                return _measure(account, start.plan, herd, links, progress, purse, plugs, until)
        finally:
            links.close()
            herd.close()


def _with_reasons(cluster: Cluster, reasons: Mapping[str, str]) -> Cluster:
    """The same nodes; those that cannot take part are away."""
    nodes = (replace(node, away=reasons.get(node.name)) for node in cluster.nodes)
    return replace(cluster, nodes=tuple(nodes))


def _nothing_left(start: Start, results: Path, progress: Progress) -> RunResult:
    """Return why no more of a run can be measured."""
    account = start.write(results, (), "")
    for line in impossible(start.plan):
        progress.note(line)
    for node in start.plan.cluster.nodes:
        if node.away is not None:
            progress.note(f"{node.name} was not checked again for what it lacked: {node.away}")
    return RunResult(account.folder, account.counts(), already_complete=True)


def _measure(
    account: Account,
    plan: Plan,
    herd: Herd,
    links: Links,
    progress: Progress,
    purse: Purse,
    plugs: PlugWatch,
    until: Until | None,
) -> RunResult:
    folder = account.folder
    ledger = Ledger(folder)
    session = Session(plan, account, ledger, herd, progress, purse, links, plugs, until)
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
