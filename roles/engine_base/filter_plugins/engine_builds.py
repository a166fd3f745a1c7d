"""Filter that decides, for all nodes at once, who needs which build of an engine."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

NOTHING: dict[str, Any] = {"install": {}, "intact": False}
"""What a node has of an engine that was never there."""


def read_kept(folder: str) -> list[dict[str, Any]]:
    """Records of the builds that the controller keeps; one that cannot be read is none."""
    records = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        archive = Path(folder, record.get("archive", ""))
        if archive.is_file():
            records.append({**record, "archive": str(archive)})
    return records


def is_whole(record: dict[str, Any]) -> bool:
    """Whether a build's archive is still what it was when it was kept."""
    path = Path(record["archive"])
    try:
        status = path.stat()
        found = sha256_of(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False
    return found == record.get("archive_sha256")


@functools.lru_cache
def sha256_of(path: Path, _size_bytes: int, _mtime_ns: int) -> str:
    """The SHA-256 of a file; one that did not change is not read again for the next node."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def same_compiler(probe: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether a node has no compiler, or the one that a build was made with."""
    return not probe["compiler"] or record.get("compiler") in {None, probe["compiler"]}


def matching(records: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The record that has everything that is wanted; None if there is none."""
    for record in records:
        if all(record.get(name) == value for name, value in wanted.items()):
            return record
    return None


def is_stale(found: dict[str, Any], wanted: dict[str, Any], bundle: dict[str, Any] | None) -> bool:
    """Whether a node lacks what is wanted, byte for byte."""
    install = found["install"]
    if not found["intact"] or matching([install], wanted) is None:
        return True
    return bundle is not None and install["build"] != bundle["build"]


def plan_builds(
    probes: dict[str, dict[str, Any]],
    engine: str,
    wanted: dict[str, Any],
    key: str,
    kept_folder: str,
    wishes: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Who needs which build.

    Args:
        probes: node to the output of `engine_store.py probe`, in the inventory's order.
        engine: name of the engine.
        wanted: fields of a record (install.json) that must have these values.
        key: field of a probe in which nodes that may share a build agree (`cpu_key`,
            `architecture`).
        kept_folder: folder of the controller with records of builds and their archives.
        wishes: node to what the record of its build must also say, such as `gpu`. Nodes that may
            share a build agree in it, too. One that is not named has a build without a GPU.

    Returns:
        `stale`: nodes that have not what is wanted. `groups`: key, with what was wished for, to
        `nodes`, `builder` (their first) and `bundle` (the record of the kept build that they should
        have; None if it must be made first, or if none needs one). Before a node gets it, its
        archive is compared with the hash in its record, and is as good as none if it is another.
    """
    kept = read_kept(kept_folder)
    groups: dict[str, dict[str, Any]] = {}
    wished = wishes or {}
    for node, probe in probes.items():
        name = "-".join([probe[key], *map(str, wished.get(node, {}).values())])
        group = groups.setdefault(name, {"builder": node, "nodes": []})
        group["nodes"].append(node)
    stale: list[str] = []
    for group in groups.values():
        builder = probes[group["builder"]]
        wish = wished.get(group["builder"], {})
        asked = {"engine": engine, "key": builder[key], "gpu": None, **wanted, **wish}
        found = {node: probes[node]["engines"].get(engine, NOTHING) for node in group["nodes"]}
        bundle = matching([record for record in kept if same_compiler(builder, record)], asked)
        builds = {seen["install"].get("build") for seen in found.values()}
        is_outdated = not same_compiler(builder, found[group["builder"]]["install"])
        stale += [
            node
            for node, seen in found.items()
            if is_outdated or (bundle is None and len(builds) > 1) or is_stale(seen, asked, bundle)
        ]
        is_needed = any(node in stale for node in group["nodes"])
        group["bundle"] = bundle if bundle and (not is_needed or is_whole(bundle)) else None
    return {"stale": stale, "groups": groups}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {"plan_builds": plan_builds}
