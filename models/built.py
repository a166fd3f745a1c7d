"""Manifests: what is known of a file built in the cache, so that later calls are quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from core.digest import sha256_of
from models.cache import landing

if TYPE_CHECKING:
    from pathlib import Path


class BuiltFile(BaseModel):
    """A built file as it was when it landed.

    Attributes:
        identity: what its bytes follow from; another identity means another file.
        size_bytes: its size.
        mtime_ns: when it was written; a change means that its sha256 must be looked at again.
        sha256: its sha256.
    """

    identity: str
    size_bytes: int
    mtime_ns: int
    sha256: str


def find_built(target: Path, identity: str) -> BuiltFile | None:
    """The manifest of `target` if it is there, unchanged, and made from `identity`; else None."""
    built = recorded(target)
    try:
        status = target.stat()
    except OSError:
        return None
    if built is None or built.identity != identity or built.size_bytes != status.st_size:
        return None
    if built.mtime_ns != status.st_mtime_ns and sha256_of(target) != built.sha256:
        return None
    return built


def recorded(target: Path) -> BuiltFile | None:
    """Return the manifest of `target`, even if `target` has changed; None if there is none."""
    try:
        return BuiltFile.model_validate_json(_manifest_path(target).read_bytes())
    except (OSError, ValidationError):
        return None


def record_built(target: Path, identity: str, sha256: str | None = None) -> BuiltFile:
    """Write the manifest of `target`, which has just landed.

    Args:
        target: the file.
        identity: what its bytes follow from.
        sha256: its sha256, where it is known; else it is read for that.

    Raises:
        HerdError: the disk is full or refuses.
    """
    status = target.stat()
    built = BuiltFile(
        identity=identity,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=sha256 or sha256_of(target),
    )
    content = built.model_dump_json(indent=1)
    with landing(_manifest_path(target), len(content), f"Writing {target.name}") as temporary:
        temporary.write_text(content, encoding="utf-8")
    return built


def _manifest_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")
