"""Files of matrices, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.planning.matrix import load_matrix


def written(folder: Path, text: str) -> Path:
    """Write a matrix."""
    path = folder / "study.yml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str) -> str:
    """Say why a matrix is refused."""
    with pytest.raises(HerdError) as caught:
        load_matrix(written(folder, text))
    return str(caught.value)
