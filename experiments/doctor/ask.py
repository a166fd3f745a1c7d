"""Asks every node what it is: one SSH connection each, all at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import paramiko
from pydantic import ValidationError

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Answer, Finding, problem
from experiments.doctor.probe.main import MARK
from experiments.doctor.program import COMMAND, program
from experiments.remote import SshTransport

TICKS = 5
"""The quickest of so many answers tells the time best."""
READY_S = 30.0
FACTS_S = 120.0
DEEP_S = 900.0
PIECE_BYTES = 1 << 16


class Pipe(Protocol):
    """Both ends of a program's standard input and output: a socket, or a channel of SSH."""

    def sendall(self, data: bytes, /) -> object:
        """Write all of it."""

    def recv(self, most_bytes: int, /) -> bytes:
        """What is there, at most so much; nothing at the end."""

    def settimeout(self, seconds: float, /) -> None:
        """How long each of the two may take."""


class SilentError(Exception):
    """The other side ended, or took too long, before it had told everything."""


def ask_nodes(nodes: Sequence[Node], project: Path, *, deep: bool) -> list[Answer]:
    """What all nodes tell, in order; a node that does not is told as a finding.

    Args:
        nodes: of the inventory; they need not be provisioned.
        project: folder that relative paths of the inventory begin at.
        deep: whether PyTorch and bitsandbytes are imported where they are installed.
    """
    transport = SshTransport(project)
    try:
        with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
            return list(pool.map(lambda node: _ask(node, nodes, transport, deep=deep), nodes))
    finally:
        transport.close()


def _ask(node: Node, nodes: Sequence[Node], transport: SshTransport, *, deep: bool) -> Answer:
    silent = Answer(node.name, node.address, node.engine_address)
    peers: list[dict[str, str | int]] = [
        {"name": peer.name, "address": peer.engine_address, "port": peer.port}
        for peer in nodes
        if peer.name != node.name
    ]
    try:
        channel = transport.run(node, COMMAND)
    except HerdError as error:
        sentence, _, remedy = str(error).partition(". ")
        return replace(silent, silence=problem("connection", f"{sentence}.", remedy))
    try:
        text = program(node.engine_address, peers, deep=deep)
        facts, offset_s, error_s = converse(channel, text, DEEP_S if deep else FACTS_S)
    except SilentError as error:
        return replace(silent, silence=_silence(channel, error))
    finally:
        channel.close()
    return replace(silent, facts=facts, offset_s=offset_s, offset_error_s=error_s)


def converse(pipe: Pipe, text: bytes, facts_s: float) -> tuple[Facts, float, float]:
    """Start the probe and hear it.

    Returns:
        The facts, the node's clock minus this one in seconds, and the error of that.

    Raises:
        SilentError: it ended, or told something else.
    """
    lines = _Lines(pipe)
    lines.send(text)
    lines.next(READY_S)
    clocks = []
    for _ in range(TICKS):
        sent_s = time.time()
        lines.send(b"clock\n")
        told_s = float(lines.next(READY_S))
        error_s = (time.time() - sent_s) / 2
        clocks.append((error_s, told_s - sent_s - error_s))
    lines.send(b"\n")
    try:
        facts = Facts.model_validate(json.loads(lines.next(facts_s)))
    except (ValueError, ValidationError) as error:
        raise SilentError(f"it told what it should not tell: {error}") from None
    error_s, offset_s = min(clocks)
    return facts, offset_s, error_s


class _Lines:
    """Lines of the probe among whatever else comes."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._rest = b""

    def send(self, data: bytes) -> None:
        self._pipe.settimeout(READY_S)
        try:
            self._pipe.sendall(data)
        except OSError:
            raise SilentError("it ended") from None

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
            self._pipe.settimeout(max(0.001, until - time.monotonic()))
            try:
                piece = self._pipe.recv(PIECE_BYTES)
            except TimeoutError:
                raise SilentError(f"it said nothing for {seconds:.0f} s") from None
            except OSError:
                piece = b""
            if not piece:
                raise SilentError("it ended")
            self._rest += piece


def _silence(channel: paramiko.Channel, error: SilentError) -> Finding:
    """Why the probe did not tell everything, with what the node said last."""
    said = b""
    channel.settimeout(1.0)
    with suppress(OSError):
        said = channel.recv_stderr(PIECE_BYTES)
    last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if "python3" in last and "not found" in last:
        return problem("connection", "It has no Python 3.", "sudo apt install python3")
    told = f" ({last})" if last else ""
    return problem(
        "connection",
        f"It let us in, but looking at it failed: {error}{told}.",
        "Log in there and try: python3 --version",
    )
