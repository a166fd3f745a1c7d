"""`python -m models`: list the catalogue, fetch a model, or build its files on the controller."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console

from core.errors import HerdError
from core.progress import StderrReporter
from core.terminal import complain, say_text
from models.build import Artifact, ensure_artifact
from models.catalogue import ModelSpec, load_catalogue
from models.fetch import downloads_folder, open_checkpoint
from models.listing import models_table, refused_lines
from models.shape import ALL_WEIGHTS

_INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended, as shells have it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, else a paragraph on stderr and not 0."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "list":
            catalogue = load_catalogue()
            Console().print(models_table(catalogue))
            for line in refused_lines(catalogue):
                say_text(line)
        elif options.command == "fetch":
            say_text(_fetched(load_catalogue().get(options.name)))
        else:
            spec = load_catalogue().get(options.name)
            artifact = ensure_artifact(spec, options.format, options.weights, StderrReporter())
            say_text((_as_json if options.print_json else _as_lines)(artifact))
    except HerdError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("Interrupted. Repeat the command to continue.")
        return _INTERRUPTED
    return 0


def _fetched(spec: ModelSpec) -> str:
    """Fetch the published files of a model; where they are."""
    if spec.format == "dllama":
        return _as_lines(ensure_artifact(spec, "dllama", "q4_0", StderrReporter()))
    if spec.format is None:
        return (
            f"{spec.name} has random weights that are generated when they are needed; there is "
            "nothing to fetch."
        )
    open_checkpoint(spec, StderrReporter())
    return f"{spec.name}: {downloads_folder(spec.unpadded or spec)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the models of the catalogue")
    fetch = commands.add_parser(
        "fetch", help="fetch the published files of a model unless they are cached"
    )
    fetch.add_argument("name", help="a name from the catalogue")
    build = commands.add_parser(
        "build", help="write the files that an engine loads unless they are cached"
    )
    build.add_argument("name", help="a name from the catalogue, or synthetic:dim=…,hidden=…,…")
    build.add_argument("--format", choices=("gguf", "dllama", "huggingface"), required=True)
    build.add_argument("--weights", choices=ALL_WEIGHTS, required=True)
    build.add_argument(
        "--print-json", action="store_true", help="print the files as one JSON object"
    )
    return parser


def _as_json(artifact: Artifact) -> str:
    files = [
        {
            "role": file.role,
            "path": str(file.path),
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
            "node_path": file.node_path,
        }
        for file in artifact.files
    ]
    return json.dumps({"files": files})


def _as_lines(artifact: Artifact) -> str:
    return "\n".join(f"{file.role}: {file.path}" for file in artifact.files)


if __name__ == "__main__":
    sys.exit(main())
