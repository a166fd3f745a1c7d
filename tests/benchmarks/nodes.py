"""What many nodes cost, and nodes that say nothing: over SSH, on this machine's loopback."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.fleet.cluster import Node
from experiments.nodes.herd import Herd
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.launcher import SshLauncher
from tests.benchmarks.bars import Measured, Row, SkippedError, against, run

PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
HELPER = """#!/bin/sh
# What herd-node says to whoever takes possession; any other command is run as it is.
case "$SSH_ORIGINAL_COMMAND" in *herd-node*) ;; *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;; esac
echo llama-herd-is-in
while read -r verb; do
    while read -r field && [ -n "$field" ]; do :; done
    printf 'end ok %s\\n' "$verb"
done
"""
SETTINGS = """
Port {port}
ListenAddress 0.0.0.0
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
ForceCommand {folder}/helper
MaxStartups 2000
MaxSessions 2000
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
LogLevel ERROR
"""


def program(name: str) -> str:
    """Path of a program; SkippedError where it is not installed."""
    found = shutil.which(name, path=PROGRAMS)
    if found is None:
        raise SkippedError(f"{name} is not installed")
    return found


def address(number: int) -> str:
    """One of the thousands of addresses that all lead to this machine."""
    return f"127.77.{number // 250}.{number % 250 + 1}"


@contextlib.contextmanager
def ssh_nodes(folder: Path, count: int) -> Iterator[tuple[Node, ...]]:
    """An SSH server at so many addresses, and the nodes that it plays."""
    server = program("sshd")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host", "key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], folder)
    helper = folder / "helper"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(SETTINGS.format(port=port, folder=folder))
    host = " ".join((folder / "host.pub").read_text().split()[:2])
    names = [address(number) for number in range(count)]
    (folder / "known_hosts").write_text("".join(f"[{name}]:{port} {host}\n" for name in names))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [server, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL
    )
    try:
        _await_port(port, process)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
        yield tuple(
            Node(
                name=f"node{number}",
                address=name,
                engine_address=name,
                user=user.stdout.strip(),
                port=port,
                key_file=str(folder / "key"),
                known_hosts=str(folder / "known_hosts"),
            )
            for number, name in enumerate(names)
        )
    finally:
        process.terminate()
        process.wait(20)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise SkippedError("sshd does not start here")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SkippedError("sshd does not listen")


def connected_s(folder: Path, nodes: tuple[Node, ...]) -> float:
    """Seconds until all nodes are connected and have answered once."""
    herd = Herd(SshLauncher(folder), nodes, Owner.me())
    begun = time.perf_counter()
    herd.own_all()
    took_s = time.perf_counter() - begun
    herd.close()
    return took_s


def against_pdsh(folder: Path) -> Measured:
    """256 nodes: connect and one round trip, against pdsh that runs `true` on them."""
    pdsh = program("pdsh")
    with ssh_nodes(folder / "ssh", 256) as nodes:
        key, known = nodes[0].key_file, nodes[0].known_hosts
        options = f"-p {nodes[0].port} -i {shlex.quote(str(key))} -o BatchMode=yes "
        options += f"-o UserKnownHostsFile={shlex.quote(str(known))}"
        names = ",".join(node.address for node in nodes)
        command = [pdsh, "-R", "ssh", "-f", "32", "-w", names, "true"]
        return against(
            lambda: connected_s(folder, nodes),
            lambda: run(command, folder, PDSH_SSH_ARGS_APPEND=options).wall_s,
            "s",
            rounds=1,
        )


def thousand(folder: Path) -> Measured:
    """1,024 nodes at all."""
    with ssh_nodes(folder / "ssh", 1024) as nodes:
        return Measured.plain(connected_s(folder, nodes), "s")


def six_silent(folder: Path) -> Measured:
    """Six nodes that take a connection and say nothing: seconds until all are given up."""
    (folder / "known_hosts").touch()
    with contextlib.ExitStack() as open_until_then:
        nodes = []
        for number in range(6):
            listener = open_until_then.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            known = str(folder / "known_hosts")
            at = f"127.0.0.{number + 1}"
            nodes.append(Node(f"n{number}", "127.0.0.1", at, port=port, known_hosts=known))
        herd = Herd(SshLauncher(folder), tuple(nodes), Owner.me())
        begun = time.perf_counter()
        reasons = herd.regain()
        took_s = time.perf_counter() - begun
        herd.close()
    if len(reasons) != len(nodes):
        raise RuntimeError(f"only {len(reasons)} of them were given up")
    return Measured.plain(took_s, "s")


ROWS = (
    Row("ssh-256", "256 nodes: connect, round trip", "pdsh", 0.25, against_pdsh),
    Row("ssh-1024", "1,024 nodes: connect, round trip", "a limit", 120, thousand),
    Row("silent", "six silent nodes are given up", "a limit", 12, six_silent),
)
