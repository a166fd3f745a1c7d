"""Opens the files of a model that others made: regular ones alone, and small ones bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import HerdError
from models.formats.unsayable import require_no_pointer

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 64 * 1024 * 1024
"""Of a vocabulary, of settings, or of a header; the largest ones that are published have 35 MB."""


def is_there(path: Path) -> bool:
    """Whether a file is there that need not be.

    Raises:
        HerdError: something else has its name, such as a folder, or a link that leads nowhere. What
            it was to say is not known, and must not be taken for nothing.
    """
    if path.is_file():
        return True
    if path.is_symlink() and not path.exists():
        raise HerdError(
            f"{path} is a link to a missing file, as an interrupted download leaves behind. "
            "Fetch the file, or remove the link."
        )
    if path.exists():
        raise HerdError(f"{path} is not a regular file but a folder, a pipe or a device.")
    return False


def require_file(path: Path) -> None:
    """Refuse what cannot be read from its beginning to its end: folders, devices, pipes.

    Raises:
        HerdError: `path` is such a thing, or absent.
    """
    if not is_there(path):
        raise HerdError(f"{path} is missing. Fetch it again.")


def read_small(path: Path) -> bytes:
    """All that a file of settings or a vocabulary holds.

    Raises:
        HerdError: it is absent, no regular file, larger than any such file, or Git LFS' pointer.
    """
    require_file(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise HerdError(
                f"{path} is larger than {MOST_BYTES // 2**20} MiB, the limit for a model's "
                "vocabulary and settings."
            )
        content = path.read_bytes()
    except OSError as error:
        raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
    require_no_pointer(path, content[:64])
    return content
