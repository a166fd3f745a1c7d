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

HELPER_VERSION = "2"
"""VERSION of `roles/node_base/files/herd-node` that this toolkit speaks with."""
FACTS_S = 30.0
HASH_S = 900.0
"""A 40 GB file from an SD card."""
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
        reply = ask(link, Request("facts"), FACTS_S)
        told = reply.pairs("facts")
        if told.get("helper") != HELPER_VERSION:
            raise HerdError(
                f"Asking {node.name} for its facts: its helper speaks version "
                f"{told.get('helper')}, this toolkit {HELPER_VERSION}. "
                "Run `ansible-playbook provision.yml`."
            )
        engines = _installations(node, reply)
        return replace(
            node,
            cores=_cores(told),
            memory_mib=_memory_mib(told),
            available_mib=_available_mib(told),
            facts=_facts(node, told, engines),
            engines=engines,
            model_sha256=_models(node, reply, link),
        )
    finally:
        link.close(0.0)


def _cores(told: Mapping[str, str]) -> int:
    """Cores, or what a container's CPU quota leaves of them."""
    cores = int(told["cores"])
    quota, _, period = told.get("quota", "").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _memory_mib(told: Mapping[str, str]) -> int:
    """RAM, or what a container's limit leaves of it."""
    limits = [int(told["memory_kib"]) // 1024]
    limit_bytes = told.get("memory_limit_bytes", "")
    if limit_bytes.isdigit():
        limits.append(int(limit_bytes) // 2**20)
    return min(limits)


def _available_mib(told: Mapping[str, str]) -> int:
    """RAM that a new process can have without swapping; 0 if the node does not tell.

    Linux counts what it can give back (page cache) as free; in a container its limit counts, too.
    """
    free = told.get("available_kib", "")
    if not free.isdigit():
        return 0
    limit, used = told.get("memory_limit_bytes", ""), told.get("memory_used_bytes", "")
    rooms = [int(free) // 1024]
    if limit.isdigit() and used.isdigit():
        rooms.append((int(limit) - int(used)) // 2**20)
    return max(1, min(rooms))


def _facts(
    node: Node, told: Mapping[str, str], engines: Mapping[str, Installation]
) -> dict[str, Scalar | None]:
    facts: dict[str, Scalar | None] = {
        name: told.get(name) or None
        for name in (
            "machine_id",
            "boot_id",
            "cpu_model",
            "board",
            "architecture",
            "kernel",
            "os",
            "governor",
        )
    }
    link_mbit = told.get("link_mbit", "")
    facts.update(
        address=node.engine_address,
        cores=_cores(told),
        memory_mib=_memory_mib(told),
        link_mbit=int(link_mbit) if link_mbit.isdigit() else None,
        emulated=told.get("emulated") == "yes",
    )
    for engine, installation in engines.items():
        for program, sha256 in installation.binary_sha256.items():
            facts[f"{engine} {program} sha256"] = sha256
    return facts


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
