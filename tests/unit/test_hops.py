"""The way to a node: each host key on it is checked, jump hosts are passed in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.protocol import NodeLostError
from experiments.remote import SshTransport
from tests.doubles.ssh_server import SshServer, ssh_server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with a key and nothing else."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / ".ssh"
    folder.mkdir()
    paramiko.RSAKey.generate(2048).write_private_key_file(str(folder / "id_rsa"))
    (tmp_path / "known_hosts").touch()
    return tmp_path


@pytest.fixture
def servers() -> Iterator[list[SshServer]]:
    """A node and two jump hosts."""
    with ExitStack() as stack:
        yield [stack.enter_context(ssh_server()) for _ in range(3)]


def said(home: Path, node: SshServer, config: str, *known: SshServer) -> str:
    """What the node says; its address has a name of its own, for the configuration."""
    (home / ".ssh" / "config").write_text(f"Host node\n  HostName 127.0.0.1\n  {config}\n")
    (home / "known_hosts").write_text("".join(server.line() for server in known))
    transport = SshTransport(home)
    reached = Node(
        name="pi1",
        address="node",
        engine_address="10.0.0.1",
        user="pi",
        port=node.port,
        key_file=".ssh/id_rsa",
        known_hosts="known_hosts",
    )
    try:
        return transport.run(reached, "true").recv(5).decode()
    finally:
        transport.close()


def jump(server: SshServer) -> str:
    return f"user@127.0.0.1:{server.port}"


def test_a_node_is_reached_without_a_jump(home: Path, servers: list[SshServer]) -> None:
    node, *_ = servers

    for config in ("", "ProxyJump none", "ProxyCommand none"):
        assert said(home, node, config, node) == "hello"


def test_jump_hosts_are_passed_in_order(home: Path, servers: list[SshServer]) -> None:
    node, first, second = servers

    assert said(home, node, f"ProxyJump {jump(first)},{jump(second)}", *servers) == "hello"

    assert first.seen == ["login user", f"on to {second.port}"]
    assert second.seen == ["login user", f"on to {node.port}"]
    assert node.seen == ["login pi", "exec true"]


def test_a_jump_hosts_key_may_stand_in_the_users_own_file(
    home: Path, servers: list[SshServer]
) -> None:
    node, first, _ = servers
    (home / ".ssh" / "known_hosts").write_text(first.line())

    assert said(home, node, f"ProxyJump ssh://{jump(first)}", node) == "hello"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_no_machine_on_the_way_is_passed_whose_key_is_unknown(
    home: Path, servers: list[SshServer], missing: int
) -> None:
    node, first, second = servers
    known = [server for server in servers if server is not servers[missing]]

    with pytest.raises(HerdError, match="its host key is not in") as caught:
        said(home, node, f"ProxyJump {jump(first)},{jump(second)}", *known)

    told = str(caught.value)
    assert f"port {servers[missing].port}" in told
    assert ("through its jump host" in told) == bool(missing)
    assert servers[missing].seen == []


def test_a_jump_host_whose_key_changed_is_not_passed(home: Path, servers: list[SshServer]) -> None:
    node, first, second = servers
    (home / ".ssh" / "known_hosts").write_text(first.line().replace(first.key.get_base64(), ""))
    other = second.line().replace(str(second.port), str(first.port))
    (home / ".ssh" / "known_hosts").write_text(other)

    with pytest.raises(HerdError, match=r"jump host .* its host key is not the one"):
        said(home, node, f"ProxyJump {jump(first)}", node)
    assert first.seen == []


def test_the_nodes_own_key_in_the_users_file_is_not_enough(
    home: Path, servers: list[SshServer]
) -> None:
    node, first, _ = servers
    (home / ".ssh" / "known_hosts").write_text(node.line() + first.line())

    with pytest.raises(HerdError, match=f"port {node.port}.*its host key is not in"):
        said(home, node, f"ProxyJump {jump(first)}")


def test_a_jump_host_that_does_not_let_us_in_is_named(home: Path) -> None:
    with (
        ssh_server() as node,
        ssh_server(lets_in=False) as first,
        pytest.raises(HerdError, match=f"jump host 127.0.0.1 .*port {first.port}.*no key of"),
    ):
        said(home, node, f"ProxyJump {jump(first)}", node, first)


def test_a_jump_host_that_leads_nowhere_is_told(home: Path) -> None:
    with (
        ssh_server() as node,
        ssh_server(leads_on=False) as first,
        pytest.raises(NodeLostError, match=r"pi1 .*does not answer"),
    ):
        said(home, node, f"ProxyJump {jump(first)}", node, first)


def test_a_command_may_stand_for_the_connection(
    home: Path, servers: list[SshServer], tmp_path: Path
) -> None:
    node, *_ = servers
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, socket, sys, threading\n"
        "peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "def back():\n"
        "    while piece := peer.recv(65536): os.write(1, piece)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=back, daemon=True).start()\n"
        "while piece := os.read(0, 65536): peer.sendall(piece)\n"
    )
    config = f"ProxyCommand {sys.executable} {relay} %p"
    by_name = SshServer(key=node.key, port=node.port)

    assert said(home, node, config, by_name) == "hello"
    with pytest.raises(HerdError, match="its host key is not in"):
        said(home, node, config)


def test_a_node_that_starts_nothing_is_given_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.remote.CONNECT_S", 0.5)
    begun = time.monotonic()
    with (
        ssh_server(starts=False) as node,
        pytest.raises(NodeLostError, match="pi1 does not answer"),
    ):
        said(home, node, "", node)
    assert time.monotonic() - begun < 5
