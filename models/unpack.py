"""What others packed, laid out below a folder of ours and nowhere else.

`archives` reads a folder, a tar or a zip as members; `lay_out` writes them. What it cannot write as
listed (a path or a link that leads out, a device, a name twice) it refuses by name. Owners, setuid
bits and times are dropped. Nothing but the standard library, as in `clients`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models.archives import LONGEST_PATH_BYTES, Budget, Member, UnpackError

_CHUNK_BYTES = 1 << 18
_LONGEST_NAME_BYTES = 255


def lay_out(members: Iterable[Member], folder: Path, budget: Budget) -> None:
    """Write the members below `folder`, which is ours and empty; leave out any `.git`.

    Links are written last, so that none is ever written through.

    Raises:
        UnpackError: a member cannot be written as listed; with its name.
    """
    links: list[tuple[str, str]] = []
    for member in members:
        budget.spend(members=1)
        name = _checked_name(member.name)
        if ".git" in name.lower().split("/"):
            continue
        if member.kind == "link":
            links.append((name, _checked_target(name, member.target)))
            continue
        with _placing(member.name):
            _lay_one(member, folder, folder / name, budget)
    for name, target in links:
        with _placing(name):
            _link(folder, name, target)


def _lay_one(member: Member, folder: Path, path: Path, budget: Budget) -> None:
    if member.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
    elif member.kind == "file":
        with member.opened() as content:
            _write(path, content, budget)
        path.chmod(0o755 if member.is_executable else 0o644)
    elif member.kind == "copy":
        repeated = folder / _checked_name(member.target)
        with repeated.open("rb") as content:
            _write(path, content, budget)
        path.chmod(stat.S_IMODE(repeated.stat().st_mode))
    else:
        raise UnpackError(f"its member {member.name!r} is {member.kind}")


def _link(folder: Path, name: str, target: str) -> None:
    path = folder / name
    if any((folder / above).is_symlink() for above in Path(name).parents):
        raise UnpackError(f"its link {name!r} is below another link")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _write(path: Path, content: BinaryIO, budget: Budget) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            budget.spend(size_bytes=len(chunk))
            file.write(chunk)


def _checked_name(name: str) -> str:
    """The name without a leading `./` and a closing `/`; empty for the top itself."""
    plain = name.removesuffix("/")
    while plain.startswith("./"):
        plain = plain[2:]
    if plain in {"", "."} and not name.startswith("/"):
        return ""
    parts = plain.split("/")
    if (
        any(part in {"", ".", ".."} for part in parts)
        or "\\" in plain
        or not plain.isprintable()
        or any(len(os.fsencode(part)) > _LONGEST_NAME_BYTES for part in parts)
        or len(os.fsencode(plain)) > LONGEST_PATH_BYTES
    ):
        raise UnpackError(f"its member {name[:LONGEST_PATH_BYTES]!r} is not a path below a folder")
    return plain


def _checked_target(name: str, target: str) -> str:
    """Where a link leads, if that is below the folder for any other links.

    `..` counts from the link's own folder, which is none that a link made; behind a name it might
    count from wherever a link of that name leads.
    """
    parts = target.removesuffix("/").split("/")
    ups = next((count for count, part in enumerate(parts) if part != ".."), len(parts))
    if target.startswith("/") or ups > name.count("/") or ".." in parts[ups:]:
        shown = target[:LONGEST_PATH_BYTES]
        raise UnpackError(f"its link {name!r} points, or may point, outside it: {shown!r}")
    _checked_name("/".join(parts[ups:]))
    return target


@contextmanager
def _placing(name: str) -> Iterator[None]:
    """Report that a member cannot be placed where it belongs."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError):
        raise UnpackError(
            f"its member {name!r} conflicts with another member, or is missing"
        ) from None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EACCES}:
            raise UnpackError(f"its member {name!r} cannot be read: {error.strerror}") from None
        raise
