"""The conversation of the probe with the controller: clocks first, then the facts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from experiments.doctor.probe.conda import closed_homes
from experiments.doctor.probe.condition import condition
from experiments.doctor.probe.cuda import cuda
from experiments.doctor.probe.engines import provisioned
from experiments.doctor.probe.gpu import gpu
from experiments.doctor.probe.machine import disks, machine, wsl
from experiments.doctor.probe.network import network
from experiments.doctor.probe.place import Place
from experiments.doctor.probe.pythons import searched
from experiments.doctor.probe.root import as_root, root

MARK = "llama-herd-doctor"
"""Before every line of ours: a shell's start-up files may print other lines."""


def converse(question: dict[str, Any], node_facts: Callable[[str], dict[str, Any]]) -> None:
    """Answer each line with the clock, until an empty one; then send the facts.

    Args:
        question: address, peers, deep, sudo.
        node_facts: the node's report in every run, given its interface.
    """
    send_line("ready")
    for line in iter(sys.stdin.buffer.readline, b"\n"):
        if not line:
            return
        send_line(f"{time.time():.6f}")
    send_line(json.dumps(machine_facts(Place(), question, node_facts)))


def machine_facts(
    place: Place, question: dict[str, Any], node_facts: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Return all facts about a node."""
    rights = root(place, question.get("sudo") or "sudo")
    connected = network(place, question["address"], question["peers"], as_root(place, rights))
    environments, is_cut = searched(place, deep=question["deep"])
    return {
        "base": node_facts(connected["interface"]),
        "machine": machine(place),
        "condition": condition(place),
        "root": rights,
        "wsl": wsl(place),
        "gpu": gpu(place),
        "cuda": cuda(place),
        "provisioned": provisioned(place),
        "pythons": environments,
        "pythons_left_out": is_cut,
        "closed_homes": closed_homes(place),
        "network": connected,
        "disks": disks(place),
    }


def send_line(text: str) -> None:
    """One line of ours, at once."""
    os.write(1, f"{MARK} {text}\n".encode())
