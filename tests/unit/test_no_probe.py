"""Nothing in the toolkit opens a connection to see whether an engine is up: that kills workers.

`tests/lab/test_workers_untouched.py` counts what really reaches a worker's port; this test names
the place before it ever runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# What reaches nodes. `models` fetches files and `analysis` reads results: neither knows a node.
PLACES = (
    "roles",
    "playbooks",
    "inventory",
    "experiments",
    "collect",
    "core",
    "fabfile.py",
    "verbs",
    "provision.yml",
)
CONNECTING = re.compile(
    r"wait_for:|\b(?:create|open)_connection\(|\.connect(?:_ex)?\(|HTTPS?Connection\(|urlopen\("
    r"|\brequests\.(?:get|head|post|put|request|Session)\(|builtin\.uri:|/dev/tcp/|tcpSocket|healthcheck"
    r"|(?<![\w-])(?:nc|ncat|netcat|nmap|socat|telnet|curl|wget)(?=[\s,\]]+['\"]?-|\s+\$|\s+[\d{])",
)
CLIENT = "roles/node_base/files/herd_ask"
ALLOWED = [
    # SSH: a server that speaks first, on the port that the inventory names for it.
    ("experiments/bench/overhead.py", "workbench.connect()"),
    # Public registries of references, over HTTPS, when a person asks for it.
    ("experiments/citing/fetch.py", "with requests.Session() as session:"),
    ("experiments/citing/fetch.py", "with requests.Session() as session:"),
    # UDP: the kernel is asked for a route, and nothing is sent.
    ("experiments/doctor/probe/network.py", "asking.connect((there, 9))"),
    (
        "experiments/doctor/probe/peers.py",
        'with socket.create_connection((peer["address"], peer["port"]), PEER_S) as connection:',
    ),
    # Smart plugs: HTTP servers of their own, at the addresses that the inventory gives them.
    (
        "experiments/plugs/http.py",
        "with socket.create_connection((host, port), timeout=_left_s(until_s)) as connection:",
    ),
    # The client itself: its question is the first thing that the server hears.
    (f"{CLIENT}/asking.py", "connection.connect()"),
    (
        f"{CLIENT}/server.py",
        "made = http.client.HTTPSConnection(*first, timeout=self.connect_s, context=context)",
    ),
    (f"{CLIENT}/server.py", "return http.client.HTTPConnection(*first, timeout=self.connect_s)"),
    # The probe: to the port on which it has itself begun to listen, on nodes that it owns.
    ("roles/node_base/files/herd_probe/links.py", "connection.connect((address, port))"),
    # Petals' first peer: a swarm, which takes connections of strangers, and no engine of others.
    (
        "roles/petals/files/programs/herd_petals/server.py",
        "socket.create_connection((address, int(port)), timeout=LOOK_S).close()",
    ),
]


def connections() -> Iterator[tuple[str, str]]:
    """File and line of everything that looks like opening a connection."""
    for place in PLACES:
        path = PROJECT / place
        files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
        for file in files:
            if file.suffix == ".pyc":
                continue
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if CONNECTING.search(line):
                    yield file.relative_to(PROJECT).as_posix(), line.strip()


def test_no_line_opens_a_connection_but_those_that_are_known() -> None:
    assert sorted(connections()) == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "ansible.builtin.wait_for: {port: 9990}",
        "wait_for:",
        "socket.create_connection((address, port), 2)",
        "probe.connect_ex((address, port))",
        "await asyncio.open_connection(host, port)",
        "http.client.HTTPConnection(host, port)",
        "urllib.request.urlopen(f'http://{host}:{port}/health')",
        "requests.get(url)",
        "ansible.builtin.uri:",
        "until nc -z $host $port; do sleep 1; done",
        "argv: [nc, -z, host]",
        "timeout 1 bash -c '</dev/tcp/$host/9990'",
        "nmap -p 9990 10.0.0.0/24",
        "curl -s http://$host:9990/health",
        "telnet {{ address }} 9990",
    ],
)
def test_every_usual_way_to_knock_is_seen(line: str) -> None:
    assert CONNECTING.search(line)
