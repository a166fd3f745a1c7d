"""Builds the files of models in the controller's cache and prints their paths.

    prepare_models.py --project FOLDER --node FOUND --known NAMES [--only-look] WANTED ENGINES

All are JSON. WANTED: [{"name": …, "weights": […], "engines": […]}], for all engines where it names
none. ENGINES: the engines that get their files, each with the format that it reads. NAMES: all
engines of the project. FOUND: the SHA-256 of each file that the node has.
Runs with the project's Python. Prints one line of JSON, {"missing": {path below the node's models
folder: {"path", "sha256", "size_bytes"}}}. With `--only-look` nothing is built, and a file that is
not in the cache has neither path nor sha256.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.build import Format


def files_of(
    wanted: list[dict[str, Any]], engines: dict[str, Format], *, only_look: bool
) -> dict[str, dict[str, Any]]:
    """Return what each node path should hold."""
    from core.progress import StderrReporter  # noqa: PLC0415
    from models import build  # noqa: PLC0415  # the project is on the path only now
    from models.catalogue import load_catalogue  # noqa: PLC0415

    catalogue = load_catalogue()
    files: dict[str, dict[str, Any]] = {}
    for entry in wanted:
        spec = catalogue.get(entry["name"])
        for file_format in formats_of(entry, engines):
            runnable = build.weights_of(spec, file_format)
            for weights in [weights for weights in entry["weights"] if weights in runnable]:
                if only_look and not build.is_cached(spec, file_format, weights):
                    size_bytes = build.expected_size_bytes(spec, file_format, weights)
                    names = build.artifact_file_names(spec, file_format, weights)
                    files[below(names["model"])] = {"size_bytes": size_bytes}
                    continue
                artifact = build.ensure_artifact(spec, file_format, weights, StderrReporter())
                for file in artifact.files:
                    files[below(file.node_path)] = {
                        "path": str(file.path),
                        "sha256": file.sha256,
                        "size_bytes": file.size_bytes,
                    }
    return files


def formats_of(entry: dict[str, Any], engines: dict[str, Format]) -> list[Format]:
    """The formats of a model that is wanted, each once whichever engines read it."""
    named = entry.get("engines") or engines
    return sorted({file_format for engine, file_format in engines.items() if engine in named})


def strangers(wanted: list[dict[str, Any]], known: list[str]) -> list[str]:
    """List a sentence for each wanted engine that does not exist."""
    return [
        f"{entry['name']} is wanted for the engine {engine!r}, which does not exist. The engines "
        f"are {', '.join(known)}."
        for entry in wanted
        for engine in entry.get("engines") or ()
        if engine not in known
    ]


def below(node_path: str) -> str:
    """`<slug>/<file>` of a path on a node."""
    return str(Path(*Path(node_path).parts[-2:]))


def main() -> int:
    """Prepare all models; 1 with one paragraph on stderr if one cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--node", type=json.loads, required=True)
    parser.add_argument("--known", type=json.loads, required=True)
    parser.add_argument("--only-look", action="store_true")
    parser.add_argument("wanted", type=json.loads)
    parser.add_argument("engines", type=json.loads)
    arguments = parser.parse_args()
    if wrong := strangers(arguments.wanted, arguments.known):
        print(" ".join(wrong), file=sys.stderr)
        return 1
    os.chdir(arguments.project)
    sys.path.insert(0, str(arguments.project))
    from core.errors import HerdError  # noqa: PLC0415

    try:
        files = files_of(arguments.wanted, arguments.engines, only_look=arguments.only_look)
    except HerdError as error:
        print(error, file=sys.stderr)
        return 1
    missing = {
        name: file
        for name, file in files.items()
        if "sha256" not in file or arguments.node.get(name) != file["sha256"]
    }
    print(json.dumps({"missing": missing}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
