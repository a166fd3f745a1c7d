"""Opens a file that may be a log of distributed-llama, and brings its lines into their own form.

A journal, containers and terminals put something before and behind each line, and standard error
between them. What cannot be a log is refused with what was expected.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from collect.parsers.dllama_prefix import Group, Groups, is_prefix
from core.errors import HerdError

if TYPE_CHECKING:
    from collect.attempt import Role

LONGEST_LINE_BYTES = 1 << 20
_AT_ONCE = 1 << 20
_OVERLAP = 256
_SAMPLE_BYTES = 1 << 16
_FEWEST_FIXED = 2
_SAMPLE_LINES = 5000
_SAMPLE_MARKS = 60
_MOST_NAMED = 8
_FARTHEST_MARK_BYTES = 1 << 15

_ROOT = (
    r"📄 [A-Za-z]{3,40}: |💡 (?!sliceIndex|nSlices)[A-Za-z]{2,40}: |💿 Loading weights|⏩ Loaded \d"
    r"|🔶 (?:Pred|P|G| {0,3}\d{1,4} G) {0,5}\d|🔷.{0,4}E(?:val)? {0,5}\d|Generated tokens: "
    r"|Evaluating \d{1,9} tokens\.\.\."
).encode()
_WORKER = (
    r"⭕ The root node has connected|⭕ Socket\[0\]: accepted root node|Client connected"
    r"|💡 sliceIndex: |⏩ Received \d|🔶 I {0,4}\d|Listening on \S{1,80}:\d{1,5}\.\.\."
).encode()
_EITHER = (
    r"📀 RequiredMemory: |💿 Weights loaded|🚨 [A-Z][a-z]{2,20} error: |⭕ Network is "
    r"|⭕ Socket\[\d{1,3}\]: connecting to |Cannot connect to \S"
    r"|\S{1,40}: src/\S{1,80}:\d{1,6}: .{0,400}Assertion `|Tokenizer: decoded invalid utf8"
    r"|terminate called after throwing an instance of '|Invalid worker address: "
).encode()
_MARK = re.compile(b"|".join((_ROOT, _WORKER, _EITHER)))
_OF_ROLE = {
    role: re.compile(b"^(?:%b)" % form, re.MULTILINE)
    for role, form in (("root", _ROOT), ("worker", _WORKER), ("either", _EITHER))
}
_COMPLAINT = b"Tokenizer: decoded invalid utf8 -- attempting stream recover"
"""Standard error, in the midst of a text."""
_FIXED = re.compile(
    (
        r"(?:💡 [A-Za-z]{2,40}: [\w.\-]{1,40}|📄 [A-Za-z]{3,40}: \d{1,9}"
        r"|📀 RequiredMemory: \d{1,9} [kM]B|💿 Weights loaded|⏩ Loaded \d{1,20} (?:bytes|kB)"
        r"|🔷.{0,100} \(\d{1,9} tokens\)|^ {4}nTokens: \d{1,9}"
        r"|^Avg transfer time: {1,4}[\d.]{1,20} ms)"
        r"((?:[ \t\r]|\xc2\xa0|\x1b\[[\d;?]{0,20}[A-Za-z]){0,20})\n?\Z"
    ).encode()
)
"""Lines whose own end is known, and the text after it."""
_ESCAPES = re.compile(
    rb"\x1b\[[\d;?]{0,20}[ -/]{0,2}[@-~]|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)"
    rb"|\x1b[()=>][A-Z0-9]?"
)
_BOM = b"\xef\xbb\xbf"
_DIRT = (b"\r", b"\x1b", b"\xc2\xa0", _COMPLAINT, _BOM)

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"BZh": ("bzip2", "bunzip2 -c"),
    b"\xfd7zXZ": ("xz", "xz -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
_OTHERS = {
    "llama.cpp": rb"llama_model_loader|llama_perf|llama_print_timings|ggml_|build_commit",
    "Petals": rb"petals|hivemind|\"chain_ms\"",
    "herd-ask": rb"\"event\": ?\"(?:asked|answer|piece)",
    "ollama": rb"level=[A-Z]{4,5} source=",
    "vLLM": rb"vllm",
}
_EXPECTED = (
    "no line of distributed-llama here; its lines begin with 📄, 💡, 📀, ⭕, 💿, 🔷, 🔶, ⏩ or 🚨, "
    "or with the same prefix before these on each line"
)


class NotALogError(HerdError):
    """A file is no log of distributed-llama that can be read; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class LogText:
    """A log as a process printed it, standard error perhaps included.

    Attributes:
        stream: at its beginning; can be read again.
        notes: what was done to it, a sentence each.
    """

    stream: BinaryIO
    notes: tuple[str, ...] = ()


@contextmanager
def open_log(path: Path, role: Role) -> Iterator[LogText]:
    """A file as a log.

    Raises:
        NotALogError: it is none, or one of another process or engine.
    """
    try:
        with _opened(path) as file, TemporaryFile() as clean:
            first = _first_mark(path, file)
            notes = _cleaned(file, clean, role) if _needs(file, first) else None
            stream = file if notes is None else clean
            _require_role(path, stream, role)
            stream.seek(len(_BOM) if _starts(stream).startswith(_BOM) else 0)
            yield LogText(stream, notes or ())
    except OSError as error:
        raise NotALogError(f"Reading the log {path}: {error.strerror or error}.") from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file; what can be read but once, such as a pipe, is copied first."""
    if path.is_dir():
        raise NotALogError(f"{path} is a folder. Give the file of one log.")
    with path.open("rb") as file:
        if stat.S_ISREG(path.stat().st_mode):
            yield file
            return
        with TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            yield copy


def _starts(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_SAMPLE_BYTES)


def _first_mark(path: Path, file: BinaryIO) -> re.Match[bytes]:
    """The first line of the engine in a file, with the text before it."""
    start = _starts(file)
    if not start:
        raise NotALogError(f"{path} is empty: nothing was written to it.")
    for magic, (name, command) in _PACKED.items():
        if start.startswith(magic):
            raise NotALogError(f"{path} is packed by {name}: unpack it first ({command}).")
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or _is_wide(start):
        form = "UTF-32" if start[:4] in {b"\xff\xfe\0\0", b"\0\0\xfe\xff"} else "UTF-16"
        raise NotALogError(
            f"{path} is text of {form}: write it as UTF-8 (iconv -f {form} -t UTF-8)."
        )
    is_json = start.lstrip().startswith(b"{")
    found = next(_search(file, _MARK.search), None)
    if found is not None and not is_json:
        return found
    looks = next((name for name, sign in _OTHERS.items() if re.search(sign, start)), None)
    told = f" It looks like a log of {looks}." if looks and not found else ""
    if b"\0" in start:
        told = " It is no text."
    elif is_json:
        told += " Its lines are JSON: have them printed as text (docker logs, journalctl -o cat)."
    raise NotALogError(f"{path}: {_EXPECTED}.{told}")


def _is_wide(start: bytes) -> bool:
    """Whether every other byte is zero, and the others are not."""
    few, many = sorted((start[0::2].count(0), start[1::2].count(0)))
    return many > 0.7 * len(start) / 2 and few < many / 4


def _search(
    file: BinaryIO | SpooledTemporaryFile[bytes], search: Callable[[bytes], re.Match[bytes] | None]
) -> Iterator[re.Match[bytes]]:
    """What is found in a file, at most once in each of its parts."""
    file.seek(0)
    before = b""
    while data := file.read(_AT_ONCE):
        if found := search(before + data):
            yield found
        before = data[-_OVERLAP:]


def _needs(file: BinaryIO, first: re.Match[bytes]) -> bool:
    """Whether lines have to be cleaned: there is text before, after or between them."""
    begin = first.string.rfind(b"\n", 0, first.start()) + 1
    if first.string[begin : first.start()].removeprefix(_BOM) or _common_end(file):
        return True
    file.seek(0)
    before = b""
    while data := file.read(_AT_ONCE):
        text = before + data
        # One byte is found many times as fast as several, and most logs have no such byte.
        if any(dirt[-1:] in text and dirt in text for dirt in _DIRT):
            return True
        before = data[-_OVERLAP:]
    return False


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that has but carriage returns, those that they end."""
    start = _starts(file)
    file.seek(0)
    if b"\n" not in start and start.count(b"\r") > _FEWEST_FIXED:
        for data in iter(partial(file.readline, LONGEST_LINE_BYTES), b""):
            yield from data.replace(b"\r", b"\n").splitlines(keepends=True)
        return
    yield from iter(partial(file.readline, LONGEST_LINE_BYTES), b"")


def _common_end(file: BinaryIO) -> bytes:
    """The text after the lines whose own end is known, in a good part of the file."""
    ends: Counter[bytes] = Counter()
    crs = lines = 0
    for line in islice(_lines(file), _SAMPLE_LINES):
        lines += 1
        crs += line.endswith(b"\r\n")
        if found := _FIXED.search(line):
            ends[found[1]] += 1
    if not ends and lines >= _FEWEST_FIXED and crs == lines:
        return b"\r"
    (end, count), *_ = [*((e, n) for e, n in ends.most_common() if e), (b"", 0)]
    return end if 4 * count >= ends.total() else b""


def _is_prefixed(file: BinaryIO) -> bool:
    """Whether most lines of the engine have something before them."""
    found = ((line, _mark(line)) for line in _lines(file))
    befores = islice((_before(line, mark) for line, mark in found if mark), _SAMPLE_MARKS)
    votes = [is_prefix(before) for before in befores]
    return 2 * sum(votes) > len(votes)


def _mark(line: bytes) -> re.Match[bytes] | None:
    """Where the engine's own line begins: far into a line it is text."""
    return _MARK.search(line, 0, _FARTHEST_MARK_BYTES)


def _before(line: bytes, mark: re.Match[bytes]) -> bytes:
    """The text before a line: without colours, and what was overwritten on a terminal."""
    before = _ESCAPES.sub(b"", line[: mark.start()].removeprefix(_BOM))
    return before[before.rfind(b"\r") + 1 :]


def _cleaned(file: BinaryIO, clean: BinaryIO, role: Role) -> tuple[str, ...]:
    """Write the lines of the processes that are asked for, as these printed them."""
    end, groups = _common_end(file), Groups() if _is_prefixed(file) else None
    begins, lost = True, 0
    for raw in _lines(file):
        line = _without_end(raw, end)
        # A line that is longer than what is read at once goes on where it began.
        goes_on, begins = not begins, raw.endswith(b"\n")
        mark = None if goes_on else _mark(line)
        before = _before(line, mark) if mark else b""
        if mark and before != line[: mark.start()] and (groups is not None or not before):
            line = before + line[mark.start() :]
            mark = _mark(line)
        if groups is not None and goes_on:
            groups.go_on(line)
        elif groups is not None:
            taken = groups.take(line, mark)
            lost += mark is not None and not taken
        else:
            _write(line, clean)
    if groups is None:
        return ()
    notes = _chosen(groups.finish(), clean, role)
    return (
        (*notes, f"{lost} lines of the engine that begin otherwise were left out")
        if lost
        else notes
    )


def _without_end(line: bytes, end: bytes) -> bytes:
    body = line.removesuffix(b"\n")
    return body.removesuffix(end) + line[len(body) :]


def _write(line: bytes, clean: BinaryIO) -> None:
    """Write a line; a complaint of the tokenizer may be in the middle of it."""
    clean.write(line.replace(_COMPLAINT + b"\n", b""))


def _chosen(groups: list[Group], clean: BinaryIO, role: Role) -> tuple[str, ...]:
    """Write the lines of the processes of a role, one process behind the other."""
    wanted = [group for group in groups if _has(group.lines, role)] or groups
    for group in wanted:
        group.lines.seek(0)
        for line in iter(partial(group.lines.readline, LONGEST_LINE_BYTES), b""):
            _write(line, clean)
    others = [group.name for group in groups if group not in wanted]
    notes = ["read without the prefix of each line: " + _listed([g.name for g in wanted])]
    if others:
        notes.append("the lines of others were left out: " + _listed(others))
    return tuple(notes)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _has(stream: BinaryIO | SpooledTemporaryFile[bytes], role: str) -> bool:
    """Whether a stream has lines of a root, of a worker, or such as either prints."""
    return next(_search(stream, _OF_ROLE[role].search), None) is not None


def _require_role(path: Path, stream: BinaryIO, role: Role) -> None:
    other: Role = "worker" if role == "root" else "root"
    if _has(stream, role):
        return
    if _has(stream, other):
        how = "--worker " if other == "worker" else ""
        raise NotALogError(f"{path} is the log of a {other}: fab parse-log {how}{path}")
    if not _has(stream, "either"):
        raise NotALogError(f"{path}: {_EXPECTED}.")
