"""Reads the header of a GGUF file: its keys, and where its tensors are.

Format: ggml-org/ggml, `docs/gguf.md`, versions 2 and 3. Every length and count is checked against
the size of the file and of the longest header before anything is reserved or looped over. The
`gguf` package has its own reader, which trusts them; its types and block sizes are used here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType
from gguf.quants import dequantize

from core.errors import HerdError
from models.formats.model_files import MOST_BYTES
from models.formats.unsayable import require_no_pointer
from models.shape import MOST_LAYERS, MOST_PIECES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = b"GGUF"
_OLDER_MAGICS = {b"lmgg", b"tjgg", b"fmgg", b"algg"}
_VERSIONS = (2, 3)
_CODES = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
}
_MOST_ELEMENTS = MOST_PIECES
"""Of an array: merges are the longest ones, twice as many as pieces in published files."""
_MOST_TENSORS = 32 * MOST_LAYERS
_MOST_DIMENSIONS = 4
_SMALLEST_KEY_BYTES = 8 + 4 + 1
_SMALLEST_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8
_USUAL_ALIGNMENT = 32


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a mapped file.

    Attributes:
        name: what the file calls it.
        kind: how its values are stored.
        size: its lengths, rows first.
        raw: its bytes, uint8 of shape (rows, bytes of a row).
    """

    name: str
    kind: GGMLQuantizationType
    size: tuple[int, ...]
    raw: NDArray[np.uint8]


@dataclass(frozen=True)
class GgufHeader:
    """The contents of a GGUF header.

    Attributes:
        values: its keys: numbers, truth values, texts, and lists of one of these.
        tensors: by name.
    """

    values: dict[str, object]
    tensors: dict[str, StoredTensor]


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file; its tensors stay on disk.

    Raises:
        HerdError: it is no such file, of another version or byte order, cut short or damaged.
    """
    try:
        size_bytes = path.stat().st_size
        content = np.memmap(path, dtype=np.uint8, mode="r") if size_bytes else np.empty(0, np.uint8)
    except OSError as error:
        raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
    cursor = _Cursor(content, path)
    _require_version(cursor, path)
    tensor_count, key_count = cursor.number("Q", "its header"), cursor.number("Q", "its header")
    cursor.require(tensor_count * _SMALLEST_TENSOR_BYTES, f"its {tensor_count} tensors")
    cursor.require(key_count * _SMALLEST_KEY_BYTES, f"its {key_count} keys")
    if tensor_count > _MOST_TENSORS:
        raise cursor.damage(f"it claims to have {tensor_count} tensors")
    values: dict[str, object] = {}
    for _ in range(key_count):
        key = cursor.text("the name of a key")
        if key in values:
            raise cursor.damage(f"it has the key `{key}` twice")
        values[key] = _value(cursor, f"`{key}`")
    return GgufHeader(values=values, tensors=_tensors(cursor, content, tensor_count, values))


class _Cursor:
    """Reads one thing after the other from the bytes of a file, and never beyond them."""

    def __init__(self, content: NDArray[np.uint8], path: Path) -> None:
        self._content = content.data
        self.path = path
        self.offset = 0

    def start(self) -> bytes:
        """The first bytes of the file, by which its kind is known."""
        return bytes(self._content[:64])

    def damage(self, how: str) -> HerdError:
        """The refusal of a file that is not as it was written."""
        return HerdError(
            f"{self.path} is not a whole GGUF file: {how}. It is truncated or damaged; fetch or "
            "build it again."
        )

    def require(self, n_bytes: int, what: str) -> None:
        """Make sure that so many bytes are left."""
        left = len(self._content) - self.offset
        if n_bytes > left:
            raise self.damage(f"{what} would take {n_bytes} bytes, but {left} are left")
        if self.offset + n_bytes > MOST_BYTES:
            raise self.damage(
                f"with {what}, its header would exceed the limit of {MOST_BYTES // 2**20} MiB"
            )

    def take(self, n_bytes: int, what: str) -> memoryview:
        """The next bytes."""
        self.require(n_bytes, what)
        self.offset += n_bytes
        return self._content[self.offset - n_bytes : self.offset]

    def number(self, code: str, what: str) -> int:
        """The next whole number, of a code of `struct`."""
        (number,) = struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}"), what))
        return int(number)

    def text(self, what: str) -> str:
        """The next text."""
        text = bytes(self.take(self.number("Q", what), what))
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise self.damage(f"{what} is not valid UTF-8 ({text[:40]!r})") from None


def _require_version(cursor: _Cursor, path: Path) -> None:
    start = cursor.start()
    require_no_pointer(path, start)
    if start[:4] in _OLDER_MAGICS:
        raise HerdError(
            f"{path} is in GGML, the format before GGUF (until August 2023). Fetch the model as "
            "GGUF."
        )
    if start[:4] != _MAGIC:
        raise HerdError(f"{path} is not a GGUF file.")
    cursor.offset = len(_MAGIC)
    version = cursor.number("I", "its header")
    if version and version % 2**16 == 0:
        raise HerdError(
            f"{path} is big-endian; only little-endian files are supported. Fetch the "
            "little-endian file, or convert this one with the program that is installed with "
            f"this project: `gguf-convert-endian {path} little`."
        )
    if version not in _VERSIONS:
        raise HerdError(
            f"{path} is GGUF version {version}; the supported versions are "
            f"{' and '.join(map(str, _VERSIONS))}. Create the file again with a current "
            "llama.cpp."
        )


def _value(cursor: _Cursor, what: str) -> object:
    kind = _kind(cursor, what)
    if kind != GGUFValueType.ARRAY:
        return _single(cursor, kind, what)
    kind = _kind(cursor, what)
    count = cursor.number("Q", what)
    if kind == GGUFValueType.ARRAY:
        raise cursor.damage(f"{what} is a list of lists, which no key of a model can be")
    if count > _MOST_ELEMENTS:
        raise cursor.damage(f"{what} claims to have {count} elements")
    if kind == GGUFValueType.STRING:
        cursor.require(8 * count, what)
        return [cursor.text(f"{what}, element {number},") for number in range(count)]
    size_bytes = struct.calcsize(f"<{_CODES[kind]}")
    return list(struct.unpack(f"<{count}{_CODES[kind]}", cursor.take(count * size_bytes, what)))


def _kind(cursor: _Cursor, what: str) -> GGUFValueType:
    number = cursor.number("I", what)
    try:
        return GGUFValueType(number)
    except ValueError:
        raise cursor.damage(f"{what} has a value of the unknown type {number}") from None


def _single(cursor: _Cursor, kind: GGUFValueType, what: str) -> object:
    if kind == GGUFValueType.STRING:
        return cursor.text(what)
    code = f"<{_CODES[kind]}"
    return struct.unpack(code, cursor.take(struct.calcsize(code), what))[0]


@dataclass(frozen=True)
class _Info:
    name: str
    size: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int

    @property
    def row_bytes(self) -> int:
        block, block_bytes = GGML_QUANT_SIZES[self.kind]
        return self.size[-1] // block * block_bytes

    @property
    def n_bytes(self) -> int:
        return math.prod(self.size[:-1]) * self.row_bytes


def _tensors(
    cursor: _Cursor, content: NDArray[np.uint8], count: int, values: dict[str, object]
) -> dict[str, StoredTensor]:
    infos: dict[str, _Info] = {}
    for _ in range(count):
        info = _info(cursor)
        if info.name in infos:
            raise cursor.damage(f"it has the tensor `{info.name}` twice")
        infos[info.name] = info
    alignment = values.get("general.alignment", _USUAL_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.damage(f"`general.alignment` is {alignment}, which is not a power of two")
    start = -(-cursor.offset // alignment) * alignment
    end_before, before = 0, ""
    tensors = {}
    for info in sorted(infos.values(), key=lambda info: info.offset):
        if info.offset < end_before:
            raise cursor.damage(f"the tensor `{info.name}` begins inside `{before}`")
        if info.offset % alignment:
            raise cursor.damage(
                f"the tensor `{info.name}` begins at {info.offset}, which is not a multiple of "
                f"{alignment}"
            )
        end_before, before = info.offset + info.n_bytes, info.name
        if start + end_before > len(content):
            raise cursor.damage(
                f"the tensor `{info.name}` would end at byte {start + end_before}, but the file "
                f"has {len(content)}"
            )
        raw = content[start + info.offset : start + end_before].reshape(-1, info.row_bytes)
        tensors[info.name] = StoredTensor(info.name, info.kind, info.size, raw)
    return tensors


def _info(cursor: _Cursor) -> _Info:
    name = cursor.text("the name of a tensor")
    what = f"the tensor `{name}`"
    dimensions = cursor.number("I", what)
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise cursor.damage(f"{what} claims to have {dimensions} dimensions")
    size = tuple(reversed([cursor.number("Q", what) for _ in range(dimensions)]))
    number, offset = cursor.number("I", what), cursor.number("Q", what)
    kind = _readable(number)
    if kind is None:
        raise HerdError(
            f"{cursor.path} has {what} of the type {_called(number)}, which this project's gguf "
            "package cannot decode. Fetch the model in another type, such as Q8_0."
        )
    if not all(size) or size[-1] % GGML_QUANT_SIZES[kind][0]:
        raise cursor.damage(f"{what} cannot have the shape {size} as {kind.name}")
    return _Info(name, size, kind, offset)


def _called(number: int) -> str:
    try:
        return GGMLQuantizationType(number).name
    except ValueError:
        return f"number {number}"


@cache
def _readable(number: int) -> GGMLQuantizationType | None:
    """The type of that number, if one block of it can be turned into numbers."""
    try:
        kind = GGMLQuantizationType(number)
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8), kind)
    except (ValueError, KeyError, NotImplementedError):
        return None
    return kind
