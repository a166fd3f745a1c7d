"""What nodes say of themselves at the beginning of a run: one round trip each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from collect.errors import HerdError
from collect.run import Scalar
from experiments.cluster import Cluster, Installation, Node
from experiments.engines.common import ENGINES_FOLDER
from experiments.protocol import Link, Reply, Request, Transport, ask
from models.build import NODE_FOLDER

HELPER_VERSION = "6"
"""VERSION of `roles/node_base/files/herd-node` that this toolkit speaks with."""
FACTS_S = 30.0
HASH_S = 900.0
"""A 40 GB file from an SD card."""
COUNTERS, OBSTACLE = "energy_counters", "energy_obstacle"
"""Facts: what the node's energy is measured with, or why it is not."""
STAMP_KEYS = ("engine", "installed", "reason", "version", "protocol", "binary_sha256")


def ask_facts(cluster: Cluster, transport: Transport) -> Cluster:
    """The same cluster with what its nodes say.

    Raises:
        HerdError: a node does not answer or is not provisioned, or a model file is not what its
            manifest says.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(cluster.nodes))) as pool:
        nodes = tuple(pool.map(lambda node: _ask(node, transport), cluster.nodes))
    return replace(cluster, nodes=nodes)


def _ask(node: Node, transport: Transport) -> Node:
    link = transport.open(node)
    try:
        reply = ask(link, Request("facts", (("address", node.engine_address),)), FACTS_S)
        version = reply.text("helper") or "1"
        if version != HELPER_VERSION:
            raise HerdError(
                f"Asking {node.name} for its facts: its helper speaks version {version}, this "
                f"toolkit {HELPER_VERSION}. Run `ansible-playbook provision.yml`."
            )
        told = _json(node, reply, "facts", "what it says of itself")
        engines = _installations(node, reply)
        energy = reply.pairs("energy")
        counted: dict[str, Scalar | None] = {
            COUNTERS: energy.get("counters"),
            OBSTACLE: energy.get("obstacle"),
        }
        return replace(
            node,
            cores=int(told["cores"]),
            memory_mib=int(told["memory_mib"]),
            available_mib=int(told["available_mib"] or 0),
            facts={"address": node.engine_address, **told, **counted, **_programs(engines)},
            engines=engines,
            model_sha256=_models(node, reply, link),
        )
    finally:
        link.close(0.0)


def _programs(engines: Mapping[str, Installation]) -> dict[str, Scalar | None]:
    """`<engine> <program> sha256` to that."""
    return {
        f"{engine} {program} sha256": sha256
        for engine, installation in engines.items()
        for program, sha256 in installation.binary_sha256.items()
    }


def _installations(node: Node, reply: Reply) -> dict[str, Installation]:
    found = {}
    for part in reply.parts:
        if part.startswith("install."):
            stamp = _json(node, reply, part, f"{ENGINES_FOLDER}/{part[8:]}/install.json")
            found[part[8:]] = Installation(
                engine=part[8:],
                installed=bool(stamp.get("installed")),
                reason=stamp.get("reason"),
                version=stamp.get("version"),
                protocol=stamp.get("protocol"),
                binary_sha256=stamp.get("binary_sha256") or {},
                details={key: value for key, value in stamp.items() if key not in STAMP_KEYS},
            )
    return found


def _models(node: Node, reply: Reply, link: Link) -> dict[str, str]:
    """Model files that are there and are what their manifests say.

    A file whose size and time of change are those of the manifest is not read again.
    """
    found: dict[str, str] = {}
    for part in reply.parts:
        if not part.startswith("manifest."):
            continue
        slug = part.removeprefix("manifest.")
        manifest = _json(node, reply, part, f"{NODE_FOLDER}/{slug}/manifest.json")
        there = _files(reply.text(f"files.{slug}"))
        for name, stamp in manifest.get("files", {}).items():
            if name in there:
                if there[name] != (stamp["size_bytes"], stamp["mtime_ns"]):
                    _compare(node, link, f"{NODE_FOLDER}/{slug}/{name}", stamp["sha256"])
                found[f"{slug}/{name}"] = stamp["sha256"]
    return found


def _files(text: str) -> dict[str, tuple[int, int]]:
    """File name to size in bytes and time of change in nanoseconds."""
    found = {}
    for line in text.splitlines():
        size_bytes, mtime_ns, path = line.split(" ", 2)
        found[path.rpartition("/")[2]] = (int(size_bytes), int(mtime_ns))
    return found


def _compare(node: Node, link: Link, path: str, sha256: str) -> None:
    reply = ask(link, Request("hash", (("file", path),)), HASH_S)
    if reply.text("sha256") != sha256:
        raise HerdError(
            f"Checking {path} on {node.name}: its sha256 is {reply.text('sha256')[:12]}…, its "
            f"manifest says {sha256[:12]}…. The file was changed or is damaged: delete it and run "
            "`ansible-playbook provision.yml --tags models`."
        )


def _json(node: Node, reply: Reply, part: str, path: str) -> dict[str, Any]:
    try:
        value = json.loads(reply.text(part))
    except json.JSONDecodeError as error:
        raise HerdError(
            f"Reading {path} on {node.name}: it is damaged ({error}). "
            "Run `ansible-playbook provision.yml`."
        ) from None
    return dict(value)
