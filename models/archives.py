"""What a folder, a tar or a zip that others made holds, as members; and a folder as an archive.

Nothing is written but an archive of ours: `unpack` lays members out. Nothing but the standard
library, as in `clients`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, cast

_LARGEST_READ_BYTES = 1 << 20
"""No reader here asks for more at once, but `tarfile` for a header that claims to be larger."""
_PACKED_AT = 315_532_800
"""1980-01-01, for all files of an archive: tar warns of older ones, and zip knows none."""
LONGEST_PATH_BYTES = 1024
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a way of compressing that zipfile does not know
    RuntimeError,  # zipfile: it is encrypted
    ValueError,
    OverflowError,
    UnicodeError,
)

Kind = Literal["file", "folder", "link", "copy"]
"""A `copy` holds what a member before it holds: tar calls it a hard link."""


class UnpackError(Exception):
    """Why something is not unpacked, half a sentence about `it`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing that a source holds.

    Attributes:
        name: its path, with `/` between folders.
        kind: one of `Kind`, or in words what else it is.
        is_executable: whether its owner may start it.
        target: of a link, where it leads; of a copy, the name of the member that it repeats.
        opened: opens a file's content.
    """

    name: str
    kind: str
    is_executable: bool = False
    target: str = ""
    opened: Callable[[], BinaryIO] = io.BytesIO


@dataclass(slots=True)
class Budget:
    """How much a source may hold: what is small on its way may be endless when unpacked.

    Attributes:
        most_bytes: of all files together.
        most_members: files, folders and links.
    """

    most_bytes: int = 1 << 30
    most_members: int = 50_000
    bytes_spent: int = 0
    members_spent: int = 0

    def spend(self, *, members: int = 0, size_bytes: int = 0) -> None:
        """Count what is used.

        Raises:
            UnpackError: it is more than may be.
        """
        self.members_spent += members
        self.bytes_spent += size_bytes
        if self.members_spent > self.most_members:
            raise UnpackError(f"it holds more than {self.most_members} files and folders")
        if self.bytes_spent > self.most_bytes:
            raise UnpackError(f"it holds more than {self.most_bytes >> 20} MiB")


def members_of_folder(folder: Path) -> Iterator[Member]:
    """List the content of a folder in the order of names; no link is followed."""
    for above, folders, files, descriptor in os.fwalk(folder, onerror=_refuse_folder):
        folders.sort()
        for name in sorted(files + folders):
            path = Path(above, name)
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            yield Member(
                name=path.relative_to(folder).as_posix(),
                kind=_kind(mode),
                is_executable=bool(mode & stat.S_IXUSR),
                target=os.readlink(name, dir_fd=descriptor) if stat.S_ISLNK(mode) else "",
                opened=partial(_open_file, name, descriptor),
            )


@contextmanager
def members_of_archive(archive: Path, budget: Budget) -> Iterator[Iterator[Member]]:
    """What a .zip or a .tar, also a compressed one, holds, in its order.

    Raises:
        UnpackError: it is no such archive, or broken, also while its members are read.
    """
    with readable(), _open_file(archive) as stream:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as opened:
                yield _members_of_zip(opened)
        else:
            with open_tar(stream, budget) as tar:
                yield _members_of_tar(tar)


@contextmanager
def readable() -> Iterator[None]:
    """Turn any exception that a broken archive raises into a refusal.

    Raises:
        UnpackError: it cannot.
    """
    try:
        yield
    except _BROKEN as error:
        raise UnpackError(f"it cannot be unpacked ({error})") from None
    except OSError as error:
        if error.errno is not None:  # a full disk, a file that may not be read
            raise
        raise UnpackError(f"it cannot be unpacked ({error})") from None


@contextmanager
def open_tar(stream: BinaryIO, budget: Budget) -> Iterator[tarfile.TarFile]:
    """A tar, also a compressed one; no more is unpacked than the budget allows.

    Closes `stream`.
    """
    with _unpacked(stream) as plain:
        bounded = cast("BinaryIO", _Bounded(plain, budget))
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


def _unpacked(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    start = stream.read(2)
    stream.seek(0)
    if start == b"\x1f\x8b":
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if start == b"BZ":
        return cast("BinaryIO", bz2.BZ2File(stream))
    if start == b"\xfd7":
        return cast("BinaryIO", lzma.LZMAFile(stream))
    return stream


def write_archive(folder: Path, archive: Path) -> None:
    """Write the content of `folder`, which `lay_out` made, as a .tar.gz.

    The same files make the same bytes, at any time and for any user.
    """
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as packed,
    ):
        for path in sorted(folder.rglob("*")):
            entry = packed.gettarinfo(path, f"./{path.relative_to(folder).as_posix()}")
            entry.uid = entry.gid = 0
            entry.mtime = _PACKED_AT
            entry.uname = entry.gname = "root"
            entry.mode = 0o755 if entry.mode & stat.S_IXUSR else 0o644
            if entry.isreg():
                with path.open("rb") as content:
                    packed.addfile(entry, content)
            else:
                packed.addfile(entry)


class _Bounded:
    """A stream that ends in UnpackError where more is asked of it than there may be."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        # Headers and padding besides.
        self._end = budget.most_bytes + 4096 * budget.most_members

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ_BYTES:
            raise UnpackError("it has a header that is too large")
        self._require(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        if offset < 0:
            raise UnpackError("its sizes contradict each other")
        self._require(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return self._stream.seekable()

    def _require(self, position: int) -> None:
        if position > self._end:
            raise UnpackError(f"it holds more than {self._budget.most_bytes >> 20} MiB")


def _members_of_zip(opened: zipfile.ZipFile) -> Iterator[Member]:
    for entry in opened.infolist():
        mode = entry.external_attr >> 16
        kind = "folder" if entry.is_dir() else _kind(mode or stat.S_IFREG)
        # Where it was made on Windows there may be permissions and no type.
        kind = "file" if not stat.S_IFMT(mode) and not entry.is_dir() else kind
        target = ""
        if kind == "link":
            with opened.open(entry) as content:
                target = os.fsdecode(content.read(LONGEST_PATH_BYTES + 1))
        yield Member(
            name=entry.filename,
            kind=kind,
            is_executable=bool(mode & stat.S_IXUSR),
            target=target,
            opened=partial(_open_in_zip, opened, entry),
        )


def _members_of_tar(tar: tarfile.TarFile) -> Iterator[Member]:
    while (entry := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # it would keep all headers, which may be long
        if entry.size < 0:
            raise UnpackError(f"its member {entry.name!r} has a negative size")
        yield Member(
            name=entry.name,
            kind=_kind_in_tar(entry),
            is_executable=bool(entry.mode & stat.S_IXUSR),
            target=entry.linkname,
            opened=partial(_open_in_tar, tar, entry),
        )


def _open_in_zip(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    return cast("BinaryIO", opened.open(entry))


def _open_in_tar(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> BinaryIO:
    return cast("BinaryIO", tar.extractfile(entry))


def _kind_in_tar(entry: tarfile.TarInfo) -> str:
    if entry.isreg():
        return "file"
    if entry.isdir():
        return "folder"
    if entry.issym():
        return "link"
    return "copy" if entry.islnk() else "a device or a pipe"


def _refuse_folder(error: OSError) -> None:
    raise UnpackError(f"its folder {error.filename!r} cannot be read: {error.strerror}")


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "a device, a pipe or a socket"


def _open_file(path: Path | str, descriptor: int | None = None) -> BinaryIO:
    """Open a file for reading; not what took its place: a link below a folder, a pipe."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    if descriptor is not None:
        flags |= os.O_NOFOLLOW
    opened = os.fdopen(os.open(path, flags, dir_fd=descriptor), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise UnpackError(f"its {path} is not a file")
    return opened
