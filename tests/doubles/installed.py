"""A folder in which an engine and a model are installed, for a launcher on this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from models.build import artifact_file_names
from models.catalogue import load_catalogue
from tests.doubles.scripted import MODEL, arguments_of

WEIGHTS = b"weights"


def install(folder: Path, program_text: str) -> Path:
    """Install distributed-llama as a given program, and its model; return the folder."""
    program = folder / "engines" / "distributed-llama" / "bin" / "dllama"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(program_text)
    program.chmod(0o755)
    stamp = {
        "engine": "distributed-llama",
        "version": "v0.16.4",
        "installed": True,
        "arguments": arguments_of("distributed-llama"),
        "binary_sha256": {"dllama": hashlib.sha256(program_text.encode()).hexdigest()},
    }
    (program.parents[1] / "install.json").write_text(json.dumps(stamp))
    spec = load_catalogue().get(MODEL)
    sha256, files = hashlib.sha256(WEIGHTS).hexdigest(), {}
    for name in artifact_file_names(spec, "dllama", "q4_0").values():
        path = folder / "models" / spec.slug / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WEIGHTS)
        # Another time of change than the file's, so it is hashed.
        files[path.name] = {"sha256": sha256, "size_bytes": len(WEIGHTS), "mtime_ns": 5}
    manifest = folder / "models" / spec.slug / "manifest.json"
    manifest.write_text(json.dumps({"files": files}))
    return folder
