"""The probe as one text that a node's Python reads from standard input."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.packing import modules_of
from core.paths import PROJECT_FOLDER
from experiments.doctor.probe.main import MARK

NONE, OLD = "none", "old"
"""What the node says in place of `ready` without a Python, and with one that is too old."""
PACKAGE = "experiments.doctor.probe"
NODE_FACTS = "roles/node_base/files/node_facts.py"
_READ = (
    "import sys; v = sys.version_info[:2]; "
    f"v < (3, 7) and sys.exit(print('{MARK} {OLD} %d.%d' % v)); "
    "exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
)
_START = (
    f"command -v python3 >/dev/null || {{ . /etc/os-release; echo {MARK} {NONE} $ID; exit 127; }}; "
    f"exec python3 -IS -c {shlex.quote(_READ)}"
)
COMMAND = f"sh -c {shlex.quote(_START)}"
"""Runs the program that follows: its size in bytes, a line break, and the program.

Whichever login shell it is given to (csh, fish, a restricted one) starts `sh` for it. Where there
is no Python, or one that cannot read the program, that is reported by our own marks: a shell's
message depends on the shell and its language.
"""
_LOAD = """
import json, sys, types
modules, question = json.loads(sys.stdin.buffer.readline())
for name, source in modules:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["{package}.main"].converse(question, sys.modules["node_facts"].facts)
"""


def program(
    address: str,
    peers: Sequence[dict[str, str | int]],
    *,
    deep: bool,
    sudo: str = "sudo",
) -> bytes:
    """What is written to `COMMAND` to start the probe.

    Args:
        address: by which engines reach the node.
        peers: the other nodes: `name`, `address`, `port` of SSH.
        deep: whether PyTorch, bitsandbytes and Petals are imported where they are.
        sudo: the program that makes root of the user.
    """
    modules = [("node_facts", (PROJECT_FOLDER / NODE_FACTS).read_text(encoding="utf-8"))]
    modules += modules_of(PACKAGE, Path(__file__).parent / "probe")
    question: dict[str, Any] = {
        "address": address,
        "peers": list(peers),
        "deep": deep,
        "sudo": sudo,
    }
    load = _LOAD.format(package=PACKAGE).encode()
    return b"%d\n%b%b\n" % (len(load), load, json.dumps([modules, question]).encode())
