"""Where things are: below the project's folder, and on every node."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
"""Holds `fabfile.py`."""
RESULTS_FOLDER = "results"
"""Folder of all runs, below the project's."""
STUDY_FOLDER = "study"
"""Folder of the user's own study, below the project's: `log.md`, `references.bib`, `weeks/`."""
STUDY_VARIABLE = "LLAMA_HERD_STUDY"
"""The environment variable that names another folder for it."""
CLIENT = PROJECT_FOLDER / "roles" / "node_base" / "files" / "herd_ask"
"""The program that asks servers, as the nodes get it."""
PROBE = CLIENT.with_name("herd_probe")
"""The program that measures nodes and links, as the nodes get it."""
ENGINES_FOLDER = "/opt/llama-herd/engines"
"""On a node: a folder for each engine."""
MODELS_FOLDER = "/opt/llama-herd/models"
"""On a node: a folder for each model."""


def study_folder(given: str | None = None) -> Path:
    """Return the folder of the user's study, which may not exist yet.

    Args:
        given: on the command line; without it, `LLAMA_HERD_STUDY` or else `study/` counts.
    """
    chosen = given or os.environ.get(STUDY_VARIABLE)
    return Path(chosen).expanduser() if chosen else PROJECT_FOLDER / STUDY_FOLDER
