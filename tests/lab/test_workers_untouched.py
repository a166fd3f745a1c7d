"""Nobody but its root connects to a worker: not provisioning, not the runner, not a look at things.

The worker is the double, which dies of any other connection as the real one does. What connects is
counted by the nodes' own kernels, before any firewall.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.doctor.run import examine
from experiments.nodes.facts import ask_facts
from experiments.planner import plan_matrix
from tests.doubles.lab_run import matrix
from tests.lab.conftest import both_engines
from tests.lab.runs import launcher
from tests.lab.virtual_lab import PROJECT, ROOT, WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

DLLAMA = "/opt/llama-herd/engines/distributed-llama/bin/dllama"
DLLAMA_PORT, RPC_PORT = 9990, 50052
TABLE = "inet callers_of_test"
COUNTING = f"""
table {TABLE} {{
    set callers {{ type ipv4_addr . inet_service; size 99; flags dynamic; counter; }}
    chain input {{
        type filter hook input priority raw;
        tcp flags & (syn | ack) == syn tcp dport {{ {DLLAMA_PORT}, {RPC_PORT} }} \\
            update @callers {{ ip saddr . tcp dport }}
    }}
}}
"""
COUNTED = re.compile(r"([\d.]+) \. (\d+) counter packets (\d+)")
Calls = Counter[tuple[str, int]]


class Watch:
    """Counts connections to the ports of workers, on every node."""

    def __init__(self, lab: VirtualLab) -> None:
        self._lab = lab
        for node in (ROOT, WORKER):
            lab.on(node, "nft --file -", given=COUNTING)

    def calls(self, node: str) -> Calls:
        """How often which address connected to which port of a node since the last look."""
        said = self._lab.on(node, f"nft list set {TABLE} callers; nft flush set {TABLE} callers")
        return Counter({(who, int(port)): int(n) for who, port, n in COUNTED.findall(said)})

    def end(self) -> None:
        for node in (ROOT, WORKER):
            self._lab.on(node, f"nft delete table {TABLE}")


@pytest.fixture
def watch(lab: VirtualLab) -> Iterator[Watch]:
    begun = Watch(lab)
    yield begun
    begun.end()


@pytest.fixture
def worker_log(lab: VirtualLab) -> Iterator[str]:
    """A worker that nobody needs, as it stands in a cluster between two runs; its log's path."""
    log, unit = "/run/idle-worker.out", "idle-worker"
    worker = f"{DLLAMA} worker --host {lab.address(WORKER)} --port {DLLAMA_PORT}"
    output = f"--property=StandardOutput=file:{log}"
    lab.on(WORKER, f"systemd-run --quiet --unit={unit} {output} /usr/bin/stdbuf -oL {worker}")
    yield log
    lab.on(WORKER, f"systemctl stop {unit}; systemctl reset-failed {unit} 2>/dev/null || true")


def test_provisioning_examining_and_planning_do_not_touch_a_worker(
    lab: VirtualLab, watch: Watch, worker_log: str
) -> None:
    lab.provision(**both_engines())
    verified = lab.play("playbooks/verify.yml")
    assert verified.code == 0, verified.output
    asked = matrix(engine="distributed-llama,llama.cpp")
    assert plan_matrix(asked, PROJECT, inventory=lab.inventory).trials
    with launcher() as ssh:
        ask_facts(lab.cluster(2), ssh)
    assert len(examine(PROJECT, lab.inventory, None, deep=True)) == 2

    said = lab.on(WORKER, f"cat {worker_log}")
    assert said == f"Listening on {lab.address(WORKER)}:{DLLAMA_PORT}...\n"
    assert watch.calls(WORKER) == watch.calls(ROOT) == Counter()


@pytest.mark.parametrize("workers", ["fresh", "kept"])
def test_a_worker_is_called_by_its_root_once_a_trial_and_by_nobody_else(
    lab: VirtualLab, watch: Watch, tmp_path: Path, workers: str
) -> None:
    axes = ("engine=distributed-llama", "weights=f32", "nodes=2", f"workers={workers}")
    code, said = lab.run(tmp_path, *axes)

    assert code == 0, said
    measured, warm_up = 3, 1
    once_each = {(lab.address(ROOT), DLLAMA_PORT): measured + warm_up}
    assert watch.calls(WORKER) == once_each
    assert watch.calls(ROOT) == Counter()
    logs = [path.read_text() for path in tmp_path.rglob(f"{WORKER}.worker.out")]
    assert len(logs) >= measured
    for log in logs:
        assert "⭕ NodeIndex: 0" in log
        assert "🚨" not in log


def test_llama_cpps_workers_are_called_by_their_root_alone(
    lab: VirtualLab, watch: Watch, tmp_path: Path
) -> None:
    code, said = lab.run(tmp_path, "nodes=2")

    assert code == 0, said
    for node in (ROOT, WORKER):
        assert set(watch.calls(node)) == {(lab.address(ROOT), RPC_PORT)}
