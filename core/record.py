"""Records in the project's own files: what they may contain, and how they are read.

A run's folder may have been sent by a stranger. So a record is closed and everything in it bounded:
a name is a name (`core.foreign`), a number can be reckoned with and kept in a table, a text has an
end. Only regular files are read, none through a link, and none larger than it can be.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationError,
)

from core.errors import HerdError
from core.foreign import LARGEST_COUNT, Amount, Finite, one_line, visible

LONGEST_TEXT = 1 << 20
"""Characters of any text in a record; of most, less is allowed. A program's argument is a text."""
LARGEST_RECORD_BYTES = 1 << 26
"""64 MiB: the plan of half a million trials."""
LATEST_S = 253_402_300_799
"""The last second of the year 9999, beyond which dates end."""

Whole = Annotated[int, Field(strict=True, ge=-LARGEST_COUNT, le=LARGEST_COUNT)]
"""A whole number, exact in every table."""
Number = Annotated[Finite, Strict()]
"""A finite number; neither a text nor a truth value."""
Positive = Annotated[Amount, Strict()]
"""A time, a size or a rate; also finite."""
Moment = Annotated[float, Field(strict=True, ge=0, le=LATEST_S)]
"""Unix time in seconds that has a date."""
Seconds = Moment
"""How long something took; a sum over all trials of a run stays a number."""
Words = Annotated[str, StringConstraints(max_length=4000)]
"""A title, a reason, a fact: what a person reads at once."""


def _no_whole(value: object) -> object:
    if isinstance(value, int):
        raise ValueError("it is too large to be kept exactly")  # noqa: TRY004 - for pydantic
    return value


Scalar = bool | Whole | Annotated[Number, BeforeValidator(_no_whole)] | Words
"""A value of an axis, or a fact."""


class Record(BaseModel):
    """A record in a file of ours: closed, immutable, bounded."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT
    )


@dataclass(frozen=True, slots=True)
class BornAs:
    """Marks a field of a workload that was added after runs had been made without it.

    With `new: Annotated[int, BornAs(0)] = 0` workloads where it is 0 keep the ids of their cells.
    """

    value: object


Kind = TypeVar("Kind", bound=BaseModel)


class UnfitError(ValueError):
    """A text that is no record of its kind; says where and why, on one line."""


def parse_record(content: bytes, kind: type[Kind], *, closely: bool = True) -> Kind:
    """The record that a JSON text is.

    Args:
        content: the text.
        kind: of record.
        closely: also refuse a key that appears twice, which takes as long again; of two the
            last one counts otherwise.

    Raises:
        UnfitError: it is no JSON, holds a key twice or a number that is none, or does not fit.
    """
    try:
        if not closely:
            return kind.model_validate_json(content)
        loaded = json.loads(
            content.decode(), object_pairs_hook=_each_once, parse_constant=_no_number
        )
        return kind.model_validate(loaded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = one_line(".".join(str(part) for part in first["loc"]), 200) or "the whole"
        raise UnfitError(f"{where}: {one_line(first['msg'])}") from None
    except RecursionError:
        raise UnfitError("it is nested too deeply") from None
    except ValueError as error:
        raise UnfitError(one_line(str(error))) from None


def read_record(
    folder: Path, name: str, kind: type[Kind], doing: str, remedy: str, *, closely: bool = True
) -> Kind | None:
    """The record in a file; None if there is no such file.

    Args:
        folder: holds it.
        name: of the file there.
        kind: of record.
        doing: what for, as the beginning of a message: `Reading the run six`.
        remedy: what to do about a damaged file, as a sentence.
        closely: as in `parse_record`.

    Raises:
        HerdError: it cannot be read, or is no such record.
    """
    try:
        content = read_file(folder, name, LARGEST_RECORD_BYTES)
        return parse_record(content, kind, closely=closely)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HerdError(
            f"{doing}: {folder / name} cannot be read: {why(error)}. {remedy}"
        ) from None
    except UnfitError as error:
        raise HerdError(
            f"{doing}: {folder / name} is damaged or from another version ({error}). {remedy}"
        ) from None


def read_file(folder: Path, name: str, most_bytes: int) -> bytes:
    """What a regular file holds.

    Args:
        folder: holds it; may be reached through links.
        name: of the file there, itself no link.
        most_bytes: a larger file is not read.

    Raises:
        OSError: there is none, it is a link or no regular file, or it is too large.
    """
    descriptor = open_regular(f"{folder}/{name}")
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes > most_bytes:
            raise OSError(None, f"it has {size_bytes} bytes, but at most {most_bytes} are read")
        content = os.read(descriptor, size_bytes)
        while len(content) < size_bytes and (more := os.read(descriptor, size_bytes)):
            content += more
        return content
    finally:
        os.close(descriptor)


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """A descriptor of a regular file that is not a link; opening never blocks.

    Raises:
        OSError: there is none, or it is something else, such as a link, a device or a pipe.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except ValueError:  # a NUL in the name
        raise OSError(None, "it cannot be the name of a file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a regular file")
    return descriptor


def own_folder(folder: Path, name: str) -> Path | None:
    """A folder below one of ours; None if there is none.

    Raises:
        HerdError: a link or something else is there, so its content would be stored elsewhere.
    """
    path = folder / name
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HerdError(f"Looking into {path}: {why(error)}.") from None
    if not stat.S_ISDIR(mode):
        raise HerdError(
            f"{path} is {'a link' if stat.S_ISLNK(mode) else 'not a folder'}. Below a run's "
            "folder nothing is read or written through links: put the folder itself there."
        )
    return path


def why(error: OSError) -> str:
    """What the system says, on one line; it names a link as such."""
    if error.errno == _IS_LINK:
        return "it is a link"
    return one_line(error.strerror or str(error))


_IS_LINK = errno.ELOOP
"""Which opening a link with O_NOFOLLOW gives."""


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {visible(twice)[:200]} appears twice")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is not a number")


def all_differ(what: str, names: Iterable[str]) -> None:
    """Check that no name appears twice.

    Raises:
        ValueError: one does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name} appears twice")
        seen.add(name)
