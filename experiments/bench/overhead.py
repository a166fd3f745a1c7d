"""`make bench`: what a trial costs beyond the life of its root process.

A trial starts n - 1 workers, waits until they listen, runs the root to its end, stops all and
fetches every log. Overhead is the wall time of that less the root's lifetime by its node's clock.
Each round does the same trial by every method, in random order; ratios are taken within rounds.

The comparisons (`trial.sh`, `trial.yml`) use `sudo systemd-run` themselves, so this runs on nodes
whose account may do that: the lab's.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from collect.workloads import Benchmark
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell, Deployment, Process
from experiments.fleet.cluster import Cluster
from experiments.fleet.inventory import read_cluster
from experiments.fleet.programs import beside_python
from experiments.nodes.facts import ask_facts
from experiments.nodes.herd import Herd
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.matrix import Matrix
from experiments.planning.plan import make_plan
from experiments.trials.trial import TrialRunner

HERE = Path(__file__).resolve().parent
NODES = (2, 4, 8)
MODEL = "synthetic:tiny"
ROUNDS = 10
SEED = 1
BASELINE = "bash"
TOO_LONG_S = 120
CLOCK_LINE = re.compile(r"^\d{19}$", re.MULTILINE)
"""What `date +%s%N` prints, before and after the root."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to carry out a trial.

    Attributes:
        workers: `fresh` or `kept`.
        overhead_ms: does one trial on that many nodes and returns its overhead.
    """

    name: str
    workers: str
    overhead_ms: Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        median_ms: of the overhead.
        ratio_to_bash: median over rounds of the ratio to bash in the same round.
    """

    nodes: int
    method: str
    workers: str
    median_ms: float
    ratio_to_bash: float


def main() -> int:
    """Measure, print the table, write `results/bench/overhead.json`."""
    try:
        rows = _measure()
    except HerdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    target = PROJECT_FOLDER / "results" / "bench" / "overhead.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    sys.stdout.write(markdown_table(rows) + f"\nWritten to {target}\n")
    return 0


def markdown_table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| nodes | method | workers | median ms | to bash |", "|--:|--|--|--:|--:|"]
    lines += [
        f"| {row.nodes} | {row.method} | {row.workers} | {row.median_ms:.0f} "
        f"| {row.ratio_to_bash:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def summarise(overheads_ms: Mapping[tuple[int, str, str], list[float]]) -> list[Row]:
    """Rows from the overheads of each (nodes, method, workers), one value a round."""
    rows = []
    for (nodes, name, workers), values in overheads_ms.items():
        baseline = overheads_ms[nodes, BASELINE, "fresh"]
        ratios = [value / other for value, other in zip(values, baseline, strict=True)]
        rows.append(
            Row(
                nodes=nodes,
                method=name,
                workers=workers,
                median_ms=round(statistics.median(values), 1),
                ratio_to_bash=round(statistics.median(ratios), 3),
            )
        )
    return rows


def _measure() -> list[Row]:
    launcher = SshLauncher(PROJECT_FOLDER)
    cluster = ask_facts(read_cluster(PROJECT_FOLDER), launcher)
    most = max(NODES)
    if len(cluster.nodes) < most:
        raise HerdError(
            f"The benchmark needs {most} nodes and the cluster has {len(cluster.nodes)}."
        )
    cells = _cells(cluster)
    herd = Herd(launcher, cluster.nodes[:most], Owner.me())
    herd.own_all()
    with tempfile.TemporaryDirectory(prefix="herd-bench-") as folder:
        workbench = _Workbench(Path(folder), cluster, cells, TrialRunner(herd, lambda _tail: None))
        workbench.connect()
        try:
            return _rounds(workbench)
        finally:
            workbench.disconnect()
            herd.close()


def _cells(cluster: Cluster) -> dict[tuple[int, str], Cell]:
    """The cell for each node count and kind of workers, of the first engine that can run them."""
    reasons = []
    for engine in ON_NODES:
        axes = {
            "engine": (engine,),
            "model": (MODEL,),
            "nodes": NODES,
            "workers": ("fresh", "kept"),
            "net_turbo": (False,),
        }
        matrix = Matrix(
            title="Overhead",
            workload=Benchmark(prompt_tokens=4, generate_tokens=8),
            axes=axes,
            repeats=1,
        )
        plan = make_plan(matrix, cluster)
        reason = next((record.unavailable for record in plan.cells if record.unavailable), None)
        if reason is None:
            return {(c.nodes, str(c.params["workers"])): c for c in plan.by_id.values()}
        reasons.append(reason)
    raise HerdError("The benchmark cannot run: " + "; ".join(reasons) + ".")


def _rounds(workbench: _Workbench) -> list[Row]:
    methods = workbench.methods()
    order = random.Random(SEED)  # noqa: S311  # a shuffle, not a secret
    overheads: dict[tuple[int, str, str], list[float]] = {
        (nodes, method.name, method.workers): [] for nodes in NODES for method in methods
    }
    for number in range(ROUNDS + 1):
        for nodes in NODES:
            for method in order.sample(methods, len(methods)):
                value = method.overhead_ms(nodes)
                if number:  # the first round warms up
                    overheads[nodes, method.name, method.workers].append(value)
        sys.stderr.write(f"round {number} of {ROUNDS}\n")
    return summarise(overheads)


class _Workbench:
    """The same deployments for every method."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        cells: Mapping[tuple[int, str], Cell],
        trials: TrialRunner,
    ) -> None:
        self._folder = folder
        self._cluster = cluster
        self._cells = cells
        self._trials = trials
        self._ssh_config = folder / "ssh_config"
        self._count = 0

    def methods(self) -> list[Method]:
        """All ways, the baseline first."""
        return [
            Method(BASELINE, "fresh", lambda nodes: self._bash(nodes, "separate")),
            Method("bash, steps fused", "fresh", lambda nodes: self._bash(nodes, "fused")),
            Method("ansible-playbook", "fresh", self._ansible),
            Method("llama-herd", "fresh", lambda nodes: self._herd(nodes, "fresh")),
            Method("llama-herd", "kept", self._herd_kept),
        ]

    def connect(self) -> None:
        """Open OpenSSH's persistent connections, and write what the other methods read."""
        blocks = [
            f"Host {node.name}\n  HostName {node.address}\n  Port {node.port}\n"
            f"  User {node.user}\n  IdentityFile {PROJECT_FOLDER / str(node.key_file)}\n"
            f"  UserKnownHostsFile {PROJECT_FOLDER / str(node.known_hosts)}\n"
            for node in self._cluster.nodes
        ]
        shared = f"ControlMaster auto\n  ControlPath {self._folder}/%C\n  ControlPersist 600"
        self._ssh_config.write_text("\n".join(blocks) + f"\nHost *\n  {shared}\n  BatchMode yes\n")
        for node in self._cluster.nodes[: max(NODES)]:
            self._ssh(node.name, "true")
        for nodes in NODES:
            self._write_plans(nodes)

    def disconnect(self) -> None:
        """Close those connections."""
        for node in self._cluster.nodes[: max(NODES)]:
            command = ["ssh", "-F", str(self._ssh_config), "-O", "exit", node.name]
            subprocess.run(command, check=False, capture_output=True)

    def _ssh(self, node: str, command: str) -> None:
        subprocess.run(["ssh", "-F", str(self._ssh_config), node, command], check=True)

    def _deployment(self, nodes: int, workers: str) -> Deployment:
        cell = self._cells[nodes, workers]
        return ENGINES[cell.engine].deploy(cell, self._cluster)

    def _write_plans(self, nodes: int) -> None:
        deployment = self._deployment(nodes, "fresh")
        logs = self._folder / f"logs{nodes}"
        logs.mkdir()
        port = deployment.workers[0].listen_port
        names = [worker.node.name for worker in deployment.workers]
        commands = {worker.node.name: _command(worker) for worker in deployment.workers}
        plan = {
            "ssh_config": shlex.quote(str(self._ssh_config)),
            "port": str(port),
            "logs": shlex.quote(str(logs)),
            "root": deployment.root.node.name,
            "root_command": shlex.quote(_command(deployment.root)),
            "workers": f"({' '.join(names)})",
            "worker_command": f"({' '.join(shlex.quote(commands[name]) for name in names)})",
        }
        lines = [f"{name}={value}" for name, value in plan.items()]
        (self._folder / f"plan{nodes}.sh").write_text("\n".join(lines) + "\n")
        inventory: dict[str, dict[str, dict[str, dict[str, str]]]] = {
            "bench_root": {"hosts": {deployment.root.node.name: {}}},
            "bench_workers": {"hosts": {name: {} for name in names}},
        }
        (self._folder / f"inventory{nodes}.json").write_text(json.dumps(inventory))
        variables = {
            "bench_root_command": _command(deployment.root),
            "bench_worker_commands": commands,
            "bench_port": port,
            "bench_logs": str(logs),
            "ansible_ssh_common_args": f"-F {self._ssh_config}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        (self._folder / f"variables{nodes}.json").write_text(json.dumps(variables))

    def _bash(self, nodes: int, mode: str) -> float:
        command = ["bash", str(HERE / "trial.sh"), str(self._folder / f"plan{nodes}.sh"), mode]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=TOO_LONG_S
        )
        if done.returncode:
            raise HerdError(f"The comparison with bash failed on {nodes} nodes: {done.stderr}")
        trial_ms, root_ms = map(int, done.stdout.split())
        return float(trial_ms - root_ms)

    def _ansible(self, nodes: int) -> float:
        command = [
            beside_python("ansible-playbook"),
            *("-i", str(self._folder / f"inventory{nodes}.json")),
            *("-e", f"@{self._folder / f'variables{nodes}.json'}"),
            str(HERE / "trial.yml"),
        ]
        begun = time.perf_counter()
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=TOO_LONG_S,
            cwd=PROJECT_FOLDER,
            env={**os.environ, "ANSIBLE_FORKS": "20"},
        )
        wall_ms = 1000 * (time.perf_counter() - begun)
        if done.returncode:
            raise HerdError(f"The comparison with Ansible failed on {nodes} nodes: {done.stdout}")
        log = (self._folder / f"logs{nodes}" / "root.log").read_text(errors="replace")
        clocks = [int(line) for line in CLOCK_LINE.findall(log)]
        return wall_ms - (clocks[-1] - clocks[0]) / 1e6

    def _herd(self, nodes: int, workers: str) -> float:
        self._count += 1
        execution = self._trials.execute(
            self._deployment(nodes, workers), f"bench-{self._count}", keep=workers == "kept"
        )
        if execution.cause or execution.root_wall_s is None:
            raise HerdError(f"A trial of the benchmark failed: {execution.cause}.")
        return 1000 * (execution.trial_wall_s - execution.root_wall_s)

    def _herd_kept(self, nodes: int) -> float:
        """One trial to have workers that wait, then the one that counts."""
        self._herd(nodes, "kept")
        value = self._herd(nodes, "kept")
        self._trials.stop_kept()
        return value


def _command(process: Process) -> str:
    assignments = [f"{name}={value}" for name, value in process.env.items()]
    return shlex.join(["/usr/bin/env", *assignments, *process.argv])


if __name__ == "__main__":
    for tool in ("bash", "ssh"):
        if shutil.which(tool) is None:
            sys.exit(f"The benchmark needs {tool}.")
    sys.exit(main())
