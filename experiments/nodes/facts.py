"""Asks nodes for their facts at the beginning of a run: one round trip each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from shlex import quote

from core.errors import HerdError
from core.foreign import is_file_name, one_line
from core.paths import ENGINES_FOLDER, MODELS_FOLDER
from core.record import Scalar
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.nodes.gpus import gpu_facts, gpus_of
from experiments.nodes.launcher import Conversation, Launcher, Reply, Request, ask
from experiments.nodes.together import in_parallel
from experiments.nodes.told import FactSheet, Hardware, Manifest, Stamp, read_told, unread, wrong

HELPER_VERSION = "12"
"""VERSION of `roles/node_base/files/herd_node/` that this toolkit speaks with."""
FACTS_S = 30.0
HASH_S = 900.0
"""A 40 GB file from an SD card."""
COUNTERS, OBSTACLE = "energy_counters", "energy_obstacle"
"""Facts: what the node's energy is measured with, or why it is not."""
_DESCRIBED = re.compile(r"([0-9]{1,19}) ([0-9]{1,19}) (.+)")


def ask_facts(cluster: Cluster, launcher: Launcher) -> Cluster:
    """The same cluster with what its nodes say.

    Raises:
        HerdError: a node does not answer, is not provisioned or says what cannot be, or a model
            file is not what its manifest says; the message names the node.
    """
    nodes = in_parallel(lambda node: ask_node(node, launcher), cluster.nodes)
    return replace(cluster, nodes=tuple(nodes))


def look(cluster: Cluster, launcher: Launcher) -> Cluster:
    """The same cluster with what the nodes that are there say, and why the others are away."""
    nodes = in_parallel(lambda node: _look_at(node, launcher), cluster.nodes)
    return replace(cluster, nodes=tuple(nodes))


def _look_at(node: Node, launcher: Launcher) -> Node:
    if node.away is not None:
        return node
    try:
        return ask_node(node, launcher)
    except HerdError as error:
        launcher.drop(node)
        return replace(node, away=str(error))
    except Exception as error:  # noqa: BLE001 - what others say may raise anything
        launcher.drop(node)
        return replace(node, away=f"{node.name}: {unread('its facts', error)}.")


def ask_node(node: Node, launcher: Launcher) -> Node:
    """The same node with what it says.

    Raises:
        HerdError: as `ask_facts`.
    """
    conversation = launcher.open(node)
    try:
        reply = ask(conversation, Request("facts", (("address", node.engine_address),)), FACTS_S)
        version = one_line(reply.text("helper"), 20) or "1"
        if version != HELPER_VERSION:
            raise HerdError(
                f"Asking {node.name} for its facts: its helper has protocol version {version}, "
                f"but this toolkit needs {HELPER_VERSION}. Run "
                f"`{commands.provision(limit=[node.name])}`."
            )
        where, text = "its facts", reply.text("facts")
        told = read_told(node.name, where, text, FactSheet).root
        hardware = read_told(node.name, where, text, Hardware)
        gpus = read_told(node.name, where, reply.text("gpus") or "{}", FactSheet).root
        engines = _installations(node, reply)
        found = gpus_of(node, engines, conversation)
        energy = reply.pairs("energy")
        counted: dict[str, Scalar | None] = {
            name: one_line(energy[key]) if key in energy else None
            for name, key in ((COUNTERS, "counters"), (OBSTACLE, "obstacle"))
        }
        return replace(
            node,
            cores=hardware.cores,
            memory_mib=hardware.memory_mib,
            available_mib=hardware.available_mib or 0,
            facts={
                **told,
                **gpus,
                "address": node.engine_address,
                **counted,
                **gpu_facts(engines, found),
                **_programs(engines),
            },
            engines=engines,
            gpus=found,
            model_sha256=_models(node, reply, conversation),
            away=None,
        )
    finally:
        conversation.close(0.0)


def _programs(engines: Mapping[str, Installation]) -> dict[str, Scalar | None]:
    """`<engine> <program> sha256` to that."""
    return {
        f"{engine} {program} sha256": sha256
        for engine, installation in engines.items()
        for program, sha256 in installation.binary_sha256.items()
    }


def _installations(node: Node, reply: Reply) -> dict[str, Installation]:
    found = {}
    for engine in _named(node, reply, "install."):
        path = f"{ENGINES_FOLDER}/{engine}/install.json"
        stamp = read_told(node.name, path, reply.text(f"install.{engine}"), Stamp)
        found[engine] = Installation(
            engine=engine,
            installed=stamp.installed,
            reason=stamp.reason,
            version=stamp.version,
            protocol=stamp.protocol,
            binary_sha256=stamp.binary_sha256 or {},
            arguments=stamp.arguments.all(),
            gpu=stamp.gpu,
            details=stamp.details(),
        )
    return found


def _named(node: Node, reply: Reply, prefix: str) -> list[str]:
    """What the names of parts with this prefix name: engines, or folders of models."""
    names = [part.removeprefix(prefix) for part in reply.parts if part.startswith(prefix)]
    for name in names:
        if not is_file_name(name):
            raise wrong(node.name, "its facts", f"`{prefix}{name}` names nothing")
    return names


def _models(node: Node, reply: Reply, conversation: Conversation) -> dict[str, str]:
    """Model files that are there and are what their manifests say.

    A file whose size and time of change are those of the manifest is not read again.
    """
    found: dict[str, str] = {}
    for slug in _named(node, reply, "manifest."):
        path = f"{MODELS_FOLDER}/{slug}/manifest.json"
        manifest = read_told(node.name, path, reply.text(f"manifest.{slug}"), Manifest)
        there = _files(node, slug, reply.text(f"files.{slug}"))
        for name, stamp in manifest.files.items():
            if name in there:
                if there[name] != (stamp.size_bytes, stamp.mtime_ns):
                    _compare(node, conversation, f"{MODELS_FOLDER}/{slug}/{name}", stamp.sha256)
                found[f"{slug}/{name}"] = stamp.sha256
    return found


def _files(node: Node, slug: str, text: str) -> dict[str, tuple[int, int]]:
    """File name to size in bytes and time of change in nanoseconds."""
    found = {}
    for line in text.splitlines():
        described = _DESCRIBED.fullmatch(line)
        if described is None:
            folder = f"{MODELS_FOLDER}/{slug}"
            raise wrong(node.name, f"the list of {folder}", f"`{one_line(line, 60)}` is not a file")
        size_bytes, mtime_ns, path = described.groups()
        found[path.rpartition("/")[2]] = (int(size_bytes), int(mtime_ns))
    return found


def _compare(node: Node, conversation: Conversation, path: str, sha256: str) -> None:
    reply = ask(conversation, Request("hash", (("file", path),)), HASH_S)
    told = one_line(reply.text("sha256"), 64)
    if told != sha256:
        delete = commands.on_node(node.name, f"rm {quote(path)}")
        raise HerdError(
            f"Checking {path} on {node.name}: its sha256 is {told[:12]}…, but its manifest says "
            f"{sha256[:12]}…. The file was changed or is damaged. Delete it; `fab plan` then "
            f"shows how to copy it again: `{delete}`"
        )
