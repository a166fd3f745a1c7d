"""Where things are: below the project's folder, and on every node."""

from __future__ import annotations

from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
"""Holds `fabfile.py`."""
RESULTS_FOLDER = "results"
"""Folder of all runs, below the project's."""
CLIENT = PROJECT_FOLDER / "roles" / "node_base" / "files" / "herd_ask"
"""The program that asks servers, as the nodes get it."""
PROBE = CLIENT.with_name("herd_probe")
"""The program that measures nodes and links, as the nodes get it."""
ENGINES_FOLDER = "/opt/llama-herd/engines"
"""On a node: a folder for each engine."""
MODELS_FOLDER = "/opt/llama-herd/models"
"""On a node: a folder for each model."""
