"""Which version of this project runs: the release, and the commit where there is a checkout."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path


def version(project: Path) -> str:
    """Return the release of `pyproject.toml`, with the commit of a checkout, as `0.1.0 (7be6c13)`.

    Args:
        project: the project's folder.
    """
    release = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    commit = _commit(project)
    return f"{release} ({commit})" if commit else str(release)


def _commit(project: Path) -> str:
    """Return the commit, `-dirty` where files differ from it; empty if Git does not know one."""
    if not (project / ".git").exists():  # Git would take that of a folder above
        return ""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
