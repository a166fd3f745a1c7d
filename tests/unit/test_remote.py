"""The way to a node: each host key on it is checked, jump hosts are passed in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from core.errors import HerdError
from experiments.fleet.cluster import Node, Secret, SshSettings
from experiments.nodes.launcher import NodeLostError
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.nodes.ssh.openssh import OpenSsh
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


def said(home: Path, node: SshServer, config: str, *known: SshServer, **settings: object) -> str:
    """What the node says; its address has a name of its own, for the configuration."""
    (home / ".ssh" / "config").write_text(
        f"Host node\n  HostName 127.0.0.1\n  {config}\nHost *\n  IdentityFile {home}/.ssh/id_rsa\n"
    )
    (home / "known_hosts").write_text("".join(server.line() for server in known))
    launcher = SshLauncher(home)
    reached = Node(
        name="pi1",
        address="node",
        engine_address="10.0.0.1",
        user="pi",
        port=node.port,
        key_file=".ssh/id_rsa",
        known_hosts="known_hosts",
    )
    reached = replace(reached, **settings)  # type: ignore[arg-type]
    try:
        return launcher.run(reached, "true").recv(5).decode()
    finally:
        launcher.close()


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
        pytest.raises(
            HerdError, match=f"jump host 127.0.0.1 .*port {first.port}.*none of your keys"
        ),
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

    for command in (
        config,
        f"ProxyCommand {sys.executable} '{relay}' \"%p\" 2>/dev/null",
        f"ProxyCommand {sys.executable} {relay} $((%p + 0))  # %% %n %h %r",
    ):
        assert said(home, node, command, by_name) == "hello"
    with pytest.raises(HerdError, match="its host key is not in"):
        said(home, node, config)


def test_a_node_that_starts_nothing_is_given_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.nodes.ssh.launcher.STARTED_S", 2.0)
    begun = time.monotonic()
    with (
        ssh_server(starts=False) as node,
        pytest.raises(NodeLostError, match=r"pi1 .*does not answer \(nothing came"),
    ):
        said(home, node, "", node)
    assert time.monotonic() - begun < 5


def test_included_files_and_matches_are_followed(
    home: Path, servers: list[SshServer], tmp_path: Path
) -> None:
    node, first, _ = servers
    more = tmp_path / "more.conf"
    more.write_text(f"Host node\n  ProxyJump {jump(first)}\n")

    for config in (
        f"Include {more}",
        f'Match originalhost node user pi exec "true"\n  ProxyJump {jump(first)}',
        f"ProxyJump jump\nHost j*p !jum\n  HostName 127.0.0.1\n  Port {first.port}\n  User user",
        f"ProxyJump none\nMatch all\n  ProxyJump {jump(first)}",
    ):
        first.seen.clear()
        assert said(home, node, config, *servers) == "hello"
        passed = ["login user", f"on to {node.port}"]
        assert first.seen == ([] if config.startswith("ProxyJump none") else passed)


def test_a_jump_host_has_a_way_of_its_own(home: Path, servers: list[SshServer]) -> None:
    node, first, second = servers
    config = (
        f"ProxyJump jump\nHost jump\n  HostName 127.0.0.1\n  Port {second.port}\n  User user\n  "
    )

    assert said(home, node, f"{config}ProxyJump {jump(first)}", *servers) == "hello"
    assert first.seen == ["login user", f"on to {second.port}"]
    with pytest.raises(HerdError, match=r"through its jump host jump .*does not answer"):
        said(home, node, f"{config}ProxyCommand false", *servers)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("nonsense", r"config line 3: no argument after keyword"),
        ("ForwardAgent maybe\n  Nonsense 1", r"config: line 4: Bad configuration option: nonsense"),
        ("Port abc", r"config line 3: Bad port 'abc'"),
        ("Match localsubnet 10.0.0.0/8", r"Unsupported Match attribute localsubnet.* line 3"),
        ("ProxyCommand nc 'a", r"line 3: invalid quotes"),
        ("ProxyJump 127.0.0.1:abc", 'line 3: Invalid ProxyJump "127.0.0.1:abc"'),
        ("ProxyCommand nc %h %T", "unknown key %T"),
        ("ProxyJump a\nHost a\n  ProxyJump b\nHost b\n  ProxyJump a", "form a loop"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_told(
    home: Path, servers: list[SshServer], config: str, told: str
) -> None:
    with pytest.raises(HerdError, match=told) as caught:
        said(home, servers[0], config, *servers)
    assert str(caught.value).isprintable()
    assert not isinstance(caught.value, NodeLostError)


@pytest.mark.parametrize("name", ["-oProxyCommand=touch x", "a b", "a;b", "$(touch x)"])
def test_a_name_is_no_option_and_no_command(name: str, home: Path) -> None:
    with pytest.raises(HerdError, match="Reading the SSH configuration of"):
        OpenSsh(home).call(Node("pi1", name, "10.0.0.1"), "true")
    assert not (home / "x").exists()


def test_a_port_is_the_configurations_where_the_inventory_names_none(home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host node\n  Port 2222\n  User ada\n")
    ssh = OpenSsh(home)

    own = ssh.call(Node("pi1", "node", "10.0.0.1"), "true").told
    assert (own.port, own.user) == ("2222", "ada")
    told = ssh.call(Node("pi1", "node", "10.0.0.1", user="pi", port=23), "true").told
    assert (told.port, told.user) == ("23", "pi")
    ssh.close()


def test_without_ssh_that_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))

    with pytest.raises(HerdError, match="ssh is not installed"):
        OpenSsh(home).call(Node("pi1", "node", "10.0.0.1"), "true")


def test_a_password_is_told_to_the_node_alone(home: Path) -> None:
    word, other = "pass word 'x' $y", "another"
    secret = SshSettings(password=Secret(word))
    with ssh_server(password=word) as node, ssh_server(password=other) as first:
        assert said(home, node, "", node, ssh=secret) == "hello"

        with pytest.raises(HerdError, match=r"through its jump host .*accepts none of your keys"):
            said(home, node, f"ProxyJump {jump(first)}", node, first, ssh=secret)
        command = f"ProxyCommand ssh -W %h:%p -p {first.port} user@127.0.0.1"
        with pytest.raises(
            HerdError,
            match=r"through user@127\.0\.0\.1: it accepts none of your keys",
        ):
            said(home, node, command, node, first, ssh=secret)
        with pytest.raises(HerdError, match="it does not accept the password"):
            said(home, node, "", node, ssh=SshSettings(password=Secret("wrong")))
    assert "password user" not in first.seen
