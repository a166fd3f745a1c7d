"""`fab probe` on virtual nodes: one has a quarter of a core, one a slow link."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.probe import ProbeRecord, newest_for, write_probe
from core.errors import HerdError
from experiments.nodes.facts import look
from experiments.probing.run import port, probe_on
from experiments.probing.show import verdicts
from tests.lab.runs import launcher, owning, until
from tests.lab.virtual_lab import PROJECT, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

PLAIN, OTHER, WEAK, SLOW = "pr1", "pr2", "pr3", "pr4"
SLOW_MBIT = 20
WEAK_SHARE = 0.6
"""Of what the others reach, at most. With more to do than it has processors, the machine makes the
others slow, and a quarter of one is left to the weak node all the same."""
TRIES = 3
PROBING = """
import sys
from pathlib import Path
from experiments.fleet.inventory import read_cluster
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.probing.run import probe_on
project = Path(sys.argv[1])
record = probe_on(read_cluster(project, sys.argv[2]), SshLauncher(project), hear=print)
print(record.model_dump_json())
"""
WALL = "add table inet wall; add chain inet wall i {{ type filter hook input priority -20; }}; \
add rule inet wall i tcp dport {port} drop"


@pytest.fixture(scope="module")
def four(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    made = VirtualLab(tmp_path_factory.mktemp("probe"), "pr", "10.131.0.0/24", 4)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision("--tags=base")
        made.podman("update", "--cpus", "0.25", WEAK)
        bucket = f"rate {SLOW_MBIT}mbit burst 16384 latency 50ms"
        made.on(SLOW, f"tc qdisc replace dev eth0 root tbf {bucket}")
        yield made
    finally:
        made.down()


def probed(four: VirtualLab, count: int = 4) -> ProbeRecord:
    with launcher() as ssh:
        return probe_on(four.cluster(count), ssh, hear=lambda _: None)


def in_background(four: VirtualLab) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PROBING, str(PROJECT), four.inventory]
    return subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def is_listening(four: VirtualLab) -> bool:
    return any(f":{port()} " in four.on(node, "ss -Hltn") for node in four.names)


@pytest.fixture(scope="module")
def record(four: VirtualLab) -> ProbeRecord:
    for _ in range(TRIES - 1):
        found = probed(four)
        if share_of_weak(found) < WEAK_SHARE:
            return found
    return probed(four)


def share_of_weak(record: ProbeRecord) -> float:
    """Memory bandwidth of the weak node, as a share of the median of the others."""
    figures = {node.name: node.memory_all_gbs or 0.0 for node in record.nodes}
    return figures.pop(WEAK) / statistics.median(figures.values())


def test_a_quarter_of_a_core_and_a_slow_link_are_seen(record: ProbeRecord) -> None:
    assert share_of_weak(record) < WEAK_SHARE
    assert len(record.links) == 12
    for link in record.links:
        if link.source == SLOW:
            assert link.rate_mbit == pytest.approx(SLOW_MBIT, rel=0.25)
        else:
            assert link.rate_mbit > 2 * SLOW_MBIT
    said = " ".join(verdicts(record))
    assert f"Slowest node: {WEAK}" in said
    assert f"Slowest link: {SLOW} to " in said


def test_it_ends_soon_and_leaves_nothing(four: VirtualLab, record: ProbeRecord) -> None:
    # Less than 20 s on an idle machine. Other tests run beside this one.
    assert record.took_s < 120
    assert four.units() == {}
    assert not is_listening(four)


def test_a_node_without_a_compiler_says_so(record: ProbeRecord) -> None:
    assert record.left_out == {}
    for node in record.nodes:
        assert node.arithmetic_all_gflops is None
        assert any("there is no C compiler" in remark for remark in node.remarks)


def test_the_record_is_found_by_the_machines(
    four: VirtualLab, record: ProbeRecord, tmp_path: Path
) -> None:
    path = write_probe(tmp_path, record)
    with launcher() as ssh:
        nodes = look(four.cluster(4), ssh).nodes
    found = newest_for(tmp_path, {node.name: node.facts for node in nodes})
    assert found.path == path
    swapped = {PLAIN: nodes[1].facts}
    assert "machine_id" in newest_for(tmp_path, swapped).reasons[0]


def test_nothing_is_left_of_one_that_is_killed(four: VirtualLab) -> None:
    process = in_background(four)
    until(lambda: is_listening(four))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not four.units())
    assert not is_listening(four)


def test_a_node_of_a_run_is_left_alone_and_a_firewall_costs_its_links_only(
    four: VirtualLab,
) -> None:
    four.on(WEAK, f"nft '{WALL.format(port=port())}'")
    with launcher() as ssh:
        run = owning(ssh, four.cluster(1).root)
        try:
            record = probed(four)
        finally:
            run.close(15.0)
            four.on(WEAK, "nft delete table inet wall")
    assert "another runner owns it" in record.left_out[PLAIN]
    assert [node.name for node in record.nodes] == [OTHER, WEAK, SLOW]
    (sentence,) = record.links_left_out
    assert sentence.startswith(f"The link {OTHER} to {WEAK} was not measured: no connection ")
    assert "a firewall may be in between" in sentence
    assert record.link(WEAK, SLOW) is not None


def test_two_at_once_do_not_disturb_each_other_and_a_node_that_dies_is_named(
    four: VirtualLab,
) -> None:
    process = in_background(four)
    until(four.units)
    with pytest.raises(HerdError, match=r"No node could be measured\. .*in use by the runner of"):
        probed(four)
    until(lambda: is_listening(four))
    four.podman("kill", "--signal", "KILL", SLOW)
    begun = time.monotonic()
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert time.monotonic() - begun < 90
    record = ProbeRecord.model_validate_json(said.splitlines()[-1])
    assert len(record.nodes) == 4
    assert record.link(PLAIN, OTHER) is not None
    assert any(SLOW in sentence for sentence in record.links_left_out)
    four.podman("start", SLOW)
    assert {node: units for node, units in four.units().items() if node != SLOW} == {}
