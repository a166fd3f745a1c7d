"""Programs that were installed together with this Python."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def beside_python(program: str) -> str:
    """A program of the virtual environment that runs this, or the one on the PATH."""
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() else shutil.which(program) or program
