"""Links of two bare virtual nodes: as asked for, and put back whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.workloads import Benchmark
from experiments.engines.base import Cell
from experiments.links.keeper import MARKS
from experiments.links.links import Links
from tests.lab.runs import until
from tests.lab.virtual_lab import PROJECT, VirtualLab

pytestmark = [pytest.mark.lab]

PORT = 5999
ECHO = f"""
import socket, time
with socket.create_server(("", {PORT})) as server:
    peer = server.accept()[0]
    asked = peer.recv(1)
    size, begun = 0, time.time()
    peer.sendall(asked)
    while piece := peer.recv(65536):
        size += len(piece)
    print(size * 8 / 1e6 / (time.time() - begun))
"""
TRIES = 3
"""A busy machine makes a link look slower, never faster: the best of so many counts."""
ASK = f"""
import socket, time
for _ in range(100):
    try:
        peer = socket.create_connection(("{{address}}", {PORT}))
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
begun = time.time()
peer.sendall(b"?")
peer.recv(1)
print((time.time() - begun) * 1000, flush=True)
for _ in range({{pieces}}):
    peer.sendall(bytes(65536))
"""
HOLDER = """
import sys, time
from tests.lab.test_links import cell
from experiments.fleet.inventory import read_cluster
from experiments.links.links import Links
from tests.lab.virtual_lab import PROJECT
links = Links(read_cluster(PROJECT, sys.argv[1]).nodes)
links.have(cell(int(sys.argv[2]), 40))
print(links._keeper.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def two(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    made = VirtualLab(tmp_path_factory.mktemp("links"), "lk", "10.126.0.0/24", 2)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        yield made
    finally:
        made.down()


@pytest.fixture
def links(two: VirtualLab) -> Iterator[Links]:
    made = Links(two.cluster(2).nodes)
    yield made
    made.close()


def cell(mbit: int, delay_ms: int) -> Cell:
    params = {"nodes": 2, "link_mbit": mbit, "link_delay_ms": delay_ms}
    return Cell(params, Benchmark())


def measured(two: VirtualLab, pieces: int) -> tuple[float, float]:
    """A round trip in milliseconds and a rate in Mbit/s, as programs on the nodes see them."""
    tries = [measured_once(two, pieces) for _ in range(TRIES)]
    trips_ms, rates_mbit = zip(*tries, strict=True)
    return min(trips_ms), max(rates_mbit)


def measured_once(two: VirtualLab, pieces: int) -> tuple[float, float]:
    """The same, once. The rate counts every byte from the moment before the first was sent."""
    ask = ASK.format(address=two.address("lk2"), pieces=pieces)
    other = subprocess.Popen(
        ["podman", "exec", "lk2", "python3", "-c", ECHO], stdout=subprocess.PIPE, text=True
    )
    trip_ms = two.podman("exec", "lk1", "python3", "-c", ask)
    return float(trip_ms), float(other.communicate(timeout=60)[0])


def is_as_the_lab_made_it(two: VirtualLab) -> bool:
    """The lab's rate, no rule that sends packets to a queue, nobody told to put anything right."""
    rates = [node.link_mbit for node in two.status()]
    marks = [(MARKS / name).read_text() for name in two.names if (MARKS / name).exists()]
    rules = [rules_of(two, name) for name in two.names]
    return rates == [1000, 1000] and not any(marks) and "NFQUEUE" not in "".join(rules)


def rules_of(two: VirtualLab, node: str) -> str:
    pid = two.podman("inspect", "--format={{.State.Pid}}", node).strip()
    command = ["nsenter", "--target", pid, "--net", "iptables", "-t", "mangle", "--list-rules"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_links_are_as_asked_for_and_the_labs_own_afterwards(two: VirtualLab, links: Links) -> None:
    slow = links.have(cell(20, 40))
    trip_ms, mbit = measured(two, 60)
    near = links.have(cell(20, 0))
    near_trip_ms, near_mbit = measured(two, 60)
    links.close()

    assert slow is not None
    assert near is not None
    assert 40 <= trip_ms < 80
    assert near_trip_ms < 35
    assert 15 < mbit < 21
    assert 15 < near_mbit < 21
    assert slow.round_trip_ms is not None
    assert 40 <= slow.round_trip_ms < 80
    assert near.method is None
    assert is_as_the_lab_made_it(two)
    assert measured(two, 600)[1] > 100


def test_a_node_that_was_started_again_is_noticed_and_shaped_again(
    two: VirtualLab, links: Links
) -> None:
    links.have(cell(20, 40))
    assert links.problem(cell(20, 40)) is None

    two.podman("restart", "--time=0", "lk2")

    assert "the link of lk2 is unshaped" in str(links.problem(cell(20, 40)))
    again = links.have(cell(20, 40))
    links.close()
    assert again is not None
    assert again.round_trip_ms is not None
    assert again.round_trip_ms >= 40
    assert is_as_the_lab_made_it(two)


def holder(two: VirtualLab, mbit: int) -> tuple[subprocess.Popen[str], int]:
    """A process that shapes links, and the one that does it for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, two.inventory, str(mbit)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    keeper = int(process.stdout.readline())
    assert not is_as_the_lab_made_it(two)
    return process, keeper


def test_links_are_put_back_when_the_runner_is_killed(two: VirtualLab) -> None:
    process, keeper = holder(two, 10)

    process.send_signal(signal.SIGKILL)
    process.communicate()

    until(lambda: is_as_the_lab_made_it(two))
    until(lambda: not Path(f"/proc/{keeper}").exists())


@pytest.mark.parametrize("mbit", [10, 0])
def test_the_next_run_puts_links_back_when_both_were_killed(two: VirtualLab, mbit: int) -> None:
    process, keeper = holder(two, mbit)
    os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.communicate()
    assert not is_as_the_lab_made_it(two)

    Links(two.cluster(2).nodes).clear()

    assert is_as_the_lab_made_it(two)
    assert measured(two, 600)[0] < 35
