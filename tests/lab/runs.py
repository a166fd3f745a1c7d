"""What tests of the runner look at and wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from collect.attempt import AttemptRecord, load_attempt
from experiments.disk.ledger import runs
from experiments.engines.base import Node
from experiments.nodes.launcher import Conversation, Request, ask
from experiments.nodes.ssh.launcher import SshLauncher
from tests.lab.virtual_lab import PROJECT

SOON_S = 60


def attempts(results: Path) -> list[AttemptRecord]:
    """The attempts of the only run there."""
    (only,) = runs(results)
    return [load_attempt(path) for path in sorted((only / "attempts").glob("[!.]*"))]


def has_attempts(results: Path) -> bool:
    return bool(runs(results) and attempts(results))


def until(happened: Callable[[], object]) -> None:
    """Wait for something that happens soon."""
    latest = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < latest
        time.sleep(0.05)


@contextmanager
def launcher() -> Iterator[SshLauncher]:
    """Connections to nodes, closed afterwards."""
    made = SshLauncher(PROJECT)
    try:
        yield made
    finally:
        made.close()


def owning(ssh: SshLauncher, node: Node) -> Conversation:
    """A connection that owns a node, whoever did before: no other starts anything."""
    link = ssh.open(node)
    ask(link, Request("own", (("who", "a test"), ("force", "yes"))))
    return link
