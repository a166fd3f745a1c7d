"""Asks every node what it is: one SSH connection each, many at the same time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from core.errors import HerdError
from core.foreign import decimal, one_line
from experiments.doctor.checks.machine import SYSTEMS
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, NodeAnswer, problem
from experiments.doctor.probe.main import MARK
from experiments.doctor.program import COMMAND, NONE, OLD, program
from experiments.doctor.proofs import prove
from experiments.fleet import commands
from experiments.fleet.cluster import Node
from experiments.nodes.ssh.channel import Channel
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.nodes.together import in_parallel
from experiments.nodes.told import first_of

TICKS = 5
"""The quickest of so many answers gives the best estimate of the time."""
READY_S = 30.0
FACTS_S = 120.0
DEEP_S = 900.0
PIECE_BYTES = 1 << 16
MOST_BYTES = 4 << 20
"""The limit of a node's answer; facts are a few KiB."""


Peer = dict[str, str | int]
"""Another node as the probe looks for it: name, address, SSH port, whether it is `apart`."""


class Pipe(Protocol):
    """Both ends of a program's standard input and output: a socket, or a channel of SSH."""

    def sendall(self, data: bytes, /) -> object:
        """Write all of it."""

    def recv(self, most_bytes: int, /) -> bytes:
        """What is there, at most so much; nothing at the end."""

    def settimeout(self, seconds: float, /) -> None:
        """How long each of the two may take."""


class CutShortError(Exception):
    """The other side ended, or took too long, before it had sent everything."""


class UnfitFactsError(CutShortError):
    """The node's Python is missing or too old for the probe; the message is what it says itself."""


def ask_nodes(
    nodes: Sequence[Node], project: Path, *, deep: bool, root: str | None = None
) -> list[NodeAnswer]:
    """Return the answers of all nodes, in order; a silent node becomes a finding.

    Args:
        nodes: of the inventory; they need not be provisioned.
        project: folder that relative paths of the inventory begin at.
        deep: whether PyTorch, bitsandbytes and Petals are imported where they are installed.
        root: name of the cluster's root; None where that is unknown.
    """
    launcher = SshLauncher(project)
    try:
        peers = in_parallel(_peer, nodes)  # once: names may have to be looked up
        answers = in_parallel(lambda node: _answer(node, peers, launcher, deep=deep), nodes)
    finally:
        launcher.close()
    return [replace(one, is_root=None if root is None else one.node == root) for one in answers]


def _answer(node: Node, peers: Sequence[Peer], launcher: SshLauncher, *, deep: bool) -> NodeAnswer:
    """Return what a node reports; any failure becomes a finding for that node."""
    try:
        return _ask(node, peers, launcher, deep=deep)
    except Exception as error:  # noqa: BLE001 - nobody foresaw it, and the others have answers
        why = f"Examining it failed ({type(error).__name__}: {one_line(str(error))})."
        silent = NodeAnswer(node.name, node.address, node.engine_address)
        remedy = "This is a bug in llama-herd; the other nodes are not affected."
        return replace(silent, silence=problem("connection", why, remedy))


def _ask(node: Node, peers: Sequence[Peer], launcher: SshLauncher, *, deep: bool) -> NodeAnswer:
    silent = NodeAnswer(
        node.name,
        node.address,
        node.engine_address,
        port=node.port,
        become_method=node.become_method,
        become_exe=node.become_exe,
        herd_gpu=node.herd_gpu,
    )
    others = [peer for peer in peers if peer["name"] != node.name]
    try:
        channel = launcher.run(node, COMMAND)
    except HerdError as error:
        sentence, _, remedy = str(error).partition(". ")
        return replace(silent, silence=problem("connection", f"{sentence}.", remedy))
    printed = channel.noise.decode("utf-8", "replace").strip().partition("\n")[0]
    silent = replace(silent, noise=one_line(printed, 60))
    facts_s = DEEP_S if deep else FACTS_S
    # A node may take what it is sent a byte at a time, which no timeout of one call ends.
    watchdog = threading.Timer(3 * READY_S + facts_s, channel.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        text = program(node.engine_address, others, deep=deep, sudo=node.become_exe or "sudo")
        facts, offset_s, error_s = run_probe(channel, text, facts_s)
    except UnfitFactsError as error:
        return replace(silent, silence=_unfit(node, str(error)))
    except CutShortError as error:
        return replace(silent, silence=_silence(node, channel, error))
    finally:
        watchdog.cancel()
        channel.close()
    proofs = prove(node, facts.provisioned.gpu_engines, launcher)
    return replace(
        silent, facts=facts, offset_s=offset_s, offset_error_s=error_s, proofs=tuple(proofs)
    )


def _peer(node: Node) -> Peer:
    """A node as the others look for it.

    It is `apart` where engines know it by another address than the one that SSH connects to, at
    which its host key is checked.
    """
    is_apart = node.address != node.engine_address
    if is_apart:
        with suppress(OSError, UnicodeError):
            is_apart = socket.gethostbyname(node.address) != node.engine_address
    return {
        "name": node.name,
        "address": node.engine_address,
        "port": node.port,
        "apart": is_apart,
    }


def run_probe(pipe: Pipe, text: bytes, facts_s: float) -> tuple[Facts, float, float]:
    """Start the probe and hear it.

    Returns:
        The facts, the node's clock minus this one in seconds, and the error of that.

    Raises:
        SilentError: it ended, or sent something else.
        UnfitError: it has no Python that could run the probe.
    """
    lines = _Lines(pipe)
    with suppress(CutShortError):  # it may have told why it ends, and ended, before it heard all
        lines.send(text)
    said = lines.next(READY_S)
    if said.partition(" ")[0] in (NONE, OLD):
        raise UnfitFactsError(said)
    clocks = []
    for _ in range(TICKS):
        sent_s = time.time()
        lines.send(b"clock\n")
        told = lines.next(READY_S)
        told_s = decimal(told)
        if told_s is None:
            raise CutShortError(f"its clock reads `{one_line(told, 40)}`")
        error_s = (time.time() - sent_s) / 2
        clocks.append((error_s, told_s - sent_s - error_s))
    lines.send(b"\n")
    try:
        facts = Facts.model_validate_json(lines.next(facts_s))
    except ValidationError as error:
        raise CutShortError(f"it sent an unexpected answer: {first_of(error)}") from None
    error_s, offset_s = min(clocks)
    return facts, offset_s, error_s


class _Lines:
    """Find the probe's lines among other output."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._rest = b""
        self._came_bytes = 0

    def send(self, data: bytes) -> None:
        self._pipe.settimeout(READY_S)
        try:
            self._pipe.sendall(data)
        except OSError:
            raise CutShortError("it ended") from None

    def next(self, seconds: float) -> str:
        """The next line, without its mark."""
        until = time.monotonic() + seconds
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                mark, _, told = line.decode("utf-8", "replace").partition(" ")
                if mark == MARK:
                    return told
                continue
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise CutShortError(f"it did not answer within {seconds:.0f} s")
            self._pipe.settimeout(left_s)
            try:
                piece = self._pipe.recv(PIECE_BYTES)
            except TimeoutError:
                raise CutShortError(f"it sent nothing for {seconds:.0f} s") from None
            except OSError:
                piece = b""
            if not piece:
                raise CutShortError("it ended")
            self._came_bytes += len(piece)
            if self._came_bytes > MOST_BYTES:
                raise CutShortError(f"it sent more than {MOST_BYTES >> 20} MiB")
            self._rest += piece


def _unfit(node: Node, said: str) -> Finding:
    """The finding for a node without a Python that could run the probe."""
    what, _, told = one_line(said, 60).partition(" ")
    if what == OLD:
        return problem(
            "connection",
            f"Its Python is {told}, but provisioning needs 3.9 or newer.",
            "Upgrade the system: Debian 12, Ubuntu 22.04 or newer.",
        )
    if told not in (*SYSTEMS, ""):
        return problem(
            "connection",
            f"It has no Python 3, and its system is {told}, but provisioning supports only "
            "Debian, Ubuntu and Raspberry Pi OS.",
            "Install one of these systems.",
        )
    install = f"{commands.ASKS_NOTHING}; apt-get update && apt-get install -y python3"
    return problem("connection", "It has no Python 3.", commands.on_node(node.name, install))


def _silence(node: Node, channel: Channel, error: CutShortError) -> Finding:
    """Return why the probe did not report everything, how it ended and the node's last words."""
    status = channel.status()
    ended = f" with status {status}" if status else ""
    last = channel.last_said()
    told = f" ({last})" if last else ""
    return problem(
        "connection",
        f"Login works, but its python3 did not give the expected answer: {error}{ended}{told}.",
        commands.on_node(node.name, "python3 --version", root=False),
    )
