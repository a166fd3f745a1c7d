"""What the helper starts on a node: confined, with a deadline, and nothing but engines.

The engine is the real llama.cpp, the model a tiny one of random weights.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.fleet.cluster import Node
from experiments.nodes.launcher import Request, ask
from experiments.nodes.ssh.readings import unit_state
from tests.lab.runs import launcher, owning, until
from tests.lab.virtual_lab import ROOT, WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

RPC_PORT = 50052
CAP_SYS_NICE, CAP_SYS_RESOURCE = 1 << 23, 1 << 24


def test_a_process_ends_at_its_deadline_by_the_nodes_own_systemd(lab: VirtualLab) -> None:
    server = "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"
    fields = (("unit", "herd-deadline-root"), ("deadline", "1"), ("arg", server))
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(1).root)
        reply = ask(link, Request("run", fields))
        link.close(5.0)

    state = unit_state(reply.pairs("props"))
    assert state.result == "timeout"
    assert state.runtime_s == pytest.approx(1.0, abs=0.5)


def test_a_helper_outlives_an_upgrade_of_systemd(lab: VirtualLab) -> None:
    """Which closes its connections, as it closes one that said nothing for 90 s."""
    server = "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"
    fields = (("deadline", "1"), ("arg", server))
    results = []
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(1).root)
        for unit in ("herd-before-root", "herd-after-root"):
            reply = ask(link, Request("run", (("unit", unit), *fields)))
            results.append(unit_state(reply.pairs("props")).result)
            lab.on(ROOT, "systemctl daemon-reexec")
        link.close(5.0)

    assert results == ["timeout", "timeout"]


def test_engines_run_confined_as_a_user_without_rights(lab: VirtualLab, tmp_path: Path) -> None:
    look = (
        "pid=$(pgrep -f '[g]gml-rpc-server --host' | head -n 1); stat -c %U /proc/$pid; "
        "grep -E 'NoNewPrivs|CapBnd' /proc/$pid/status; true"
    )
    seen: list[str] = []

    def saw_all() -> bool:
        seen[:] = lab.on(WORKER, look).split()
        return len(seen) == 5 and seen[0] != "root"

    process = lab.begin(tmp_path, "nodes=2", "workers=kept", "repeats=400")
    until(saw_all)
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert seen == ["herd", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]


def test_a_running_worker_is_fenced_in_and_comes_before_all_else(lab: VirtualLab) -> None:
    """As far as PID 1 of the node may: in a container it has not every right."""
    unit, server = "herd-fenced-worker", "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"
    fields = (("unit", unit), ("deadline", "60"), ("port", str(RPC_PORT)), ("arg", server))
    options = (("arg", "--port"), ("arg", str(RPC_PORT)))
    look = f"""
        systemd-analyze security --no-pager {unit}.service | tail -n 1
        systemctl show -p Nice -p LimitMEMLOCK {unit}
        for pid in 1 $(systemctl show -P MainPID {unit}); do
            awk '/CapEff/ {{print $2}}' /proc/$pid/status
            awk '/Max locked memory/ {{print $5}}' /proc/$pid/limits
            awk '{{print $19}}' /proc/$pid/stat
        done"""
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(2).nodes[1])
        ask(link, Request("start", fields + options))
        exposure, *shown, rights, lock1, nice1, none, lock, nice = lab.on(WORKER, look).splitlines()
        ask(link, Request("stop", (("unit", unit),)))

    assert float(exposure.rpartition(": ")[2].split()[0]) <= 2.0
    assert set(shown) == {"Nice=-20", "LimitMEMLOCK=infinity"}
    assert int(none, 16) == 0
    assert lock == ("unlimited" if int(rights, 16) & CAP_SYS_RESOURCE else lock1)
    assert nice == ("-20" if int(rights, 16) & CAP_SYS_NICE else nice1)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((("unit", "ssh"), ("deadline", "9"), ("arg", "/bin/true")), "is not below"),
        (
            (
                ("unit", "ssh"),
                ("deadline", "9"),
                ("arg", "/opt/llama-herd/engines/llama.cpp/bin/llama-bench"),
            ),
            "'ssh' is no name for a unit",
        ),
        (
            (
                ("unit", "herd-x"),
                ("deadline", "9"),
                ("arg", "/opt/llama-herd/engines/x/bin/../../../bin/sh"),
            ),
            "is not below",
        ),
        (
            (
                ("unit", "herd-x"),
                ("deadline", "soon"),
                ("arg", "/opt/llama-herd/engines/llama.cpp/bin/llama-bench"),
            ),
            "deadline must be a number",
        ),
    ],
)
def test_the_helper_runs_nothing_but_engines(
    lab: VirtualLab, fields: tuple[tuple[str, str], ...], told: str
) -> None:
    root: Node = lab.cluster(1).root
    with launcher() as ssh, pytest.raises(HerdError, match=told):
        ask(owning(ssh, root), Request("run", fields))
