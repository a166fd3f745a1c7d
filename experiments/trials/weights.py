"""Which weights the processes of a trial read: hashed on the node, not taken from the plan.

A file is hashed once in a session, before the first trial that reads it. From then on the helper
says with each process whether the file is still that one, which costs a look at its inode.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.foreign import one_line
from core.paths import MODELS_FOLDER
from experiments.engines.base import Process
from experiments.nodes.facts import HASH_S
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Reply, Request
from experiments.trials.execution import Execution
from models.formats.huggingface.reader import WEIGHTS

_SUFFIXES = (".gguf", ".m", ".safetensors")
_SHA256 = 64
_STAMP = 100


def weights_path(process: Process) -> str | None:
    """Return the file of weights that a process is given; None for one that is given none."""
    if process.role == "client":
        return None
    for word in process.argv[1:]:
        below = word.removeprefix(f"{MODELS_FOLDER}/")
        if below != word and "/" not in below:
            return f"{word}/{WEIGHTS}"
        if below != word and word.endswith(_SUFFIXES):
            return word
    return None


class WeightsRead:
    """Knows the hashes of the files that processes read in a session.

    Args:
        herd: the nodes.
    """

    def __init__(self, herd: Herd) -> None:
        self._herd = herd
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def learn(self, processes: Iterable[Process], execution: Execution) -> None:
        """Hash the files that these processes will read, where that was not done yet."""
        wanted = {}
        for process in processes:
            node, path = process.node.name, weights_path(process)
            if path is not None and (node, path) not in self._known:
                wanted[node] = path
        self._hash(wanted, execution)

    def note(self, process: Process, reply: Reply, execution: Execution) -> None:
        """Record the hash of what a process read, and blame the attempt on another file.

        Args:
            process: that ended, or was asked for its log.
            reply: of its node.
            execution: of the attempt.
        """
        node, path, told = process.node.name, weights_path(process), reply.text("weights")
        if path is None or "weights" not in reply.parts:
            return  # it reads none, or the launcher does not say
        name = path.removeprefix(f"{MODELS_FOLDER}/")
        if not told:
            self._blame(f"{name} on {node} is missing or no regular file", node, execution)
            return
        if told != "changed" and self._known.get((node, path), ("", ""))[0] != told:
            self._hash({node: path}, execution)
        stamp, sha256 = self._known.get((node, path), ("", ""))
        if told != stamp:
            self._blame(f"{name} on {node} was replaced while a process read it", node, execution)
            return
        execution.weights[node] = sha256
        planned = process.node.model_sha256.get(name)
        if planned is not None and planned != sha256:
            self._blame(
                f"{name} on {node} was replaced: its sha256 is {sha256[:12]}…, and was "
                f"{planned[:12]}… when the node was asked what it has",
                node,
                execution,
            )

    def _hash(self, wanted: dict[str, str], execution: Execution) -> None:
        there = {node: path for node, path in wanted.items() if node not in self._herd.lost()}
        requests = {node: Request("hash", (("file", path),)) for node, path in there.items()}
        if not requests:
            return
        replies, silent = self._herd.ask_each(requests, "hash its weights", HASH_S)
        execution.lose(silent, "its weights were hashed")
        for node, reply in replies.items():
            stamp = one_line(reply.text("stamp"), _STAMP)
            if reply.ok and stamp:
                self._known[node, there[node]] = stamp, one_line(reply.text("sha256"), _SHA256)

    @staticmethod
    def _blame(cause: str, node: str, execution: Execution) -> None:
        if execution.cause is None:
            execution.refused = node  # its logs cannot tell
        execution.blame(cause)
