"""The models of this node: which are there, whole, and taking over files just copied.

Sent to the root node and run there, with nothing but its own Python:

    model_store.py probe
    model_store.py commit FILES      FILES: JSON, {"<slug>/<file>": {"sha256", "size_bytes"}}

A file arrives as `<file>.part`. Only when its SHA-256 is right it gets its name, and the folder's
manifest.json is written last: {"files": {"<file>": {"sha256", "size_bytes", "mtime_ns"}}}.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("LLAMA_HERD_MODELS", "/opt/llama-herd/models"))
ENGINES = Path(os.environ.get("LLAMA_HERD_ENGINES", "/opt/llama-herd/engines"))


class DamagedError(Exception):
    """A file that arrived is not what was sent."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Entries of a folder's manifest; empty when there is none that can be read."""
    try:
        return dict(json.loads((folder / "manifest.json").read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def sha256_now(path: Path, entry: dict[str, Any]) -> str | None:
    """The hash of a file: the manifest's if size and time are, else read again; None if absent."""
    try:
        status = path.stat()
    except OSError:
        return None
    if (status.st_size, status.st_mtime_ns) == (entry["size_bytes"], entry["mtime_ns"]):
        return str(entry["sha256"])
    return sha256_of(path)


def installed_engines() -> dict[str, dict[str, Any]]:
    """Return what the engines installed on this node say about their models, by name.

    `format` is None where the record is from before engines said so.
    """
    found = {}
    for path in sorted(ENGINES.glob("*/install.json")):
        try:
            record = dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if record.get("installed"):
            found[path.parent.name] = {
                "format": record.get("format"),
                "is_read_here": bool(record.get("reads_model_on_every_node")),
            }
    return found


def probe() -> dict[str, Any]:
    """Which files are there and what they hash to, the room that is left, the engines."""
    files = {}
    for manifest in sorted(ROOT.glob("*/manifest.json")):
        folder = manifest.parent
        for name, entry in read_manifest(folder).items():
            files[f"{folder.name}/{name}"] = sha256_now(folder / name, entry)
    above = next(path for path in (ROOT, *ROOT.parents) if path.exists())
    return {
        "files": {name: sha256 for name, sha256 in files.items() if sha256},
        "free_mib": shutil.disk_usage(above).free >> 20,
        "engines": installed_engines(),
    }


def commit(files: dict[str, dict[str, Any]]) -> None:
    """Check the files that arrived, name them, write the manifests."""
    for name, expected in files.items():
        part = ROOT / f"{name}.part"
        if sha256_of(part) != expected["sha256"]:
            part.unlink()
            raise DamagedError(f"{name} arrived damaged and was removed; provision again")
    for name, expected in files.items():
        path = ROOT / name
        path.with_name(f"{path.name}.part").replace(path)
        folder = path.parent
        entries = read_manifest(folder)
        entries[path.name] = {
            "sha256": expected["sha256"],
            "size_bytes": path.stat().st_size,
            "mtime_ns": path.stat().st_mtime_ns,
        }
        temporary = folder / "manifest.json.part"
        with temporary.open("w") as stream:
            json.dump({"files": entries}, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(folder / "manifest.json")


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    if arguments[0] == "probe":
        print(json.dumps(probe()))
        return 0
    try:
        commit(json.loads(arguments[1]))
    except (DamagedError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
