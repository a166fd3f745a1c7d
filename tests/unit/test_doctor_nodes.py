"""Which nodes the doctor looks at, and what becomes of those that cannot be looked at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.doctor.ask import _peer, ask_nodes
from experiments.doctor.finding import Severity
from experiments.doctor.run import examine
from experiments.fleet.cluster import Node
from experiments.fleet.inventory import read_cluster
from experiments.nodes.launcher import NodeLostError
from experiments.nodes.ssh.channel import Channel
from experiments.nodes.ssh.launcher import SshLauncher
from tests.doubles.ssh_server import ssh_server

NAMES = "[cluster]\na ansible_host=127.0.0.1 ansible_port={port}\nb ansible_host=nobody.invalid\n"


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    """A node whose port refuses, and one whose name nobody knows."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "known_hosts").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = tmp_path / "hosts.ini"
    path.write_text(NAMES.format(port=port))
    return str(path)


def test_nodes_that_do_not_answer_are_findings_with_a_remedy(tmp_path: Path, hosts: str) -> None:
    diagnoses = examine(tmp_path, hosts, None, deep=False)

    for diagnosis, name in zip(diagnoses, ("a", "b"), strict=True):
        (finding,) = diagnosis.findings
        assert diagnosis.answer.node == name
        assert (finding.subject, finding.verdict) == ("connection", Severity.PROBLEM)
        assert finding.sentence.startswith(f"Connecting to {name} (")
        assert finding.sentence.endswith(".")
        assert finding.remedy.startswith("Is it switched on and connected to the network?")


def test_a_name_that_nobody_knows_stops_a_run_but_not_the_doctor(
    tmp_path: Path, hosts: str
) -> None:
    with pytest.raises(HerdError, match="cannot be resolved"):
        read_cluster(tmp_path, hosts)
    _, unknown = read_cluster(tmp_path, hosts, must_resolve=False).nodes
    assert unknown.engine_address == "nobody.invalid"


def test_only_the_named_nodes_are_looked_at(tmp_path: Path, hosts: str) -> None:
    (diagnosis,) = examine(tmp_path, hosts, " b ", deep=False)
    assert diagnosis.answer.node == "b"


@pytest.mark.parametrize(("names", "what"), [("a,c", "has no c"), (",", "has no such node")])
def test_a_name_that_the_inventory_does_not_have_is_told(
    tmp_path: Path, hosts: str, names: str, what: str
) -> None:
    with pytest.raises(HerdError, match=rf"--limit {names}: group cluster {what}; it has a, b"):
        examine(tmp_path, hosts, names, deep=False)


def test_no_known_hosts_is_a_finding_too(tmp_path: Path, hosts: str) -> None:
    (tmp_path / "inventory" / "known_hosts").unlink()
    with ssh_server() as server:
        Path(hosts).write_text(NAMES.format(port=server.port))
        nodes = read_cluster(tmp_path, hosts, must_resolve=False).nodes

        first = ask_nodes(nodes, tmp_path, deep=False)[0]

    assert first.silence is not None
    assert first.silence.sentence.endswith("its host key is not in inventory/known_hosts.")
    assert "ssh -o StrictHostKeyChecking=ask" in first.silence.remedy


def test_what_nobody_foresaw_at_one_node_is_a_finding_of_that_one(
    tmp_path: Path, hosts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_self: SshLauncher, node: Node, _command: str) -> Channel:
        if node.name == "a":
            raise AttributeError("odd")
        raise NodeLostError(node.name, "Connecting to b: it is off. Switch it on.")

    monkeypatch.setattr(SshLauncher, "run", run)
    odd, off = ask_nodes(
        read_cluster(tmp_path, hosts, must_resolve=False).nodes, tmp_path, deep=False
    )

    assert odd.silence is not None
    assert odd.silence.sentence == "Examining it failed (AttributeError: odd)."
    assert off.silence is not None
    assert off.silence.remedy == "Switch it on."


@pytest.mark.parametrize(
    ("address", "engines", "is_apart"),
    [
        ("192.0.2.7", "192.0.2.7", False),
        ("localhost", "127.0.0.1", False),
        ("192.0.2.7", "10.0.0.7", True),
        ("nobody.invalid", "10.0.0.7", True),
    ],
)
def test_a_node_is_apart_where_its_host_key_was_checked_at_another_address(
    address: str, engines: str, *, is_apart: bool
) -> None:
    peer = _peer(Node(name="a", address=address, engine_address=engines, port=2222))
    assert peer == {"name": "a", "address": engines, "port": 2222, "apart": is_apart}
