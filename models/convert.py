"""Converts a model of a user's own into the files that an engine loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cache import landing
from models.errors import HerdError
from models.formats import dllama, gguf
from models.formats.dllama_tokenizer import write_tokenizer
from models.formats.gguf_reader import read_gguf
from models.formats.llama2c import read_llama2c, read_shape
from models.padding import padded
from models.shape import ALL_WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from models.checkpoint import Checkpoint
    from models.report import Reporter
    from models.shape import Weights

TOKENIZER_BYTES_PER_PIECE = 40
SUFFIXES = (".m", ".gguf")


def convert(
    source: Path, target: Path, weights: Weights, kv_heads: int | None, reporter: Reporter
) -> tuple[Path, ...]:
    """Write the model in `source` as `target`, one tensor in memory at a time.

    Args:
        source: a GGUF file of the architecture LLaMA, or llama2.c's `.bin` with `tokenizer.bin`
            beside it.
        target: a `.m` file (its vocabulary is written beside it as `.t`) or a `.gguf` file.
        weights: type of the matrices.
        kv_heads: KV heads to write, the added ones zeros, so that more nodes can share the model;
            None for as many as there are.
        reporter: hears what is written.

    Returns:
        The files written.

    Raises:
        HerdError: the source cannot be read, the target's format has no such weights or heads,
            or the disk is full. Nothing half-written is left.
    """
    _require_possible(source, target, weights)
    checkpoint = open_source(source)
    if kv_heads is not None:
        checkpoint = padded(checkpoint, kv_heads)
    reporter.note(f"writing {target}")
    if target.suffix == ".gguf":
        size_bytes = gguf.expected_size_bytes(checkpoint.shape, weights)
        with landing(target, size_bytes, f"Writing {target}") as path:
            gguf.write_gguf(checkpoint, path, weights, target.stem)
        return (target,)
    tokenizer = target.with_suffix(".t")
    size_bytes = dllama.expected_size_bytes(checkpoint.shape, weights)
    with landing(target, size_bytes, f"Writing {target}") as path:
        dllama.write_model(checkpoint, path, weights)
    size_bytes = checkpoint.shape.vocab * TOKENIZER_BYTES_PER_PIECE
    with landing(tokenizer, size_bytes, f"Writing {tokenizer}") as path:
        write_tokenizer(checkpoint.tokenizer, path)
    return target, tokenizer


def open_source(source: Path) -> Checkpoint:
    """The model in a file of a user's, by its suffix.

    Raises:
        HerdError: as `convert`.
    """
    if source.suffix == ".gguf":
        return read_gguf(source)
    tokenizer = source.with_name("tokenizer.bin")
    if not tokenizer.is_file():
        raise HerdError(f"{source} needs its vocabulary beside it: put {tokenizer} there.")
    return read_llama2c(source, tokenizer, read_shape(source))


def _require_possible(source: Path, target: Path, weights: str) -> None:
    if not source.is_file():
        raise HerdError(f"There is no file {source} to convert.")
    if source.suffix not in {".gguf", ".bin"}:
        raise HerdError(
            f"{source.name} cannot be converted: right would be a .gguf file, or a .bin of "
            "llama2.c with tokenizer.bin beside it."
        )
    if target.suffix not in SUFFIXES:
        raise HerdError(f"{target.name} must end in {' or '.join(SUFFIXES)}.")
    if target.exists() and target.samefile(source):
        raise HerdError(f"{target} is the source itself: name another file.")
    allowed = tuple(dllama.FLOAT_TYPES) if target.suffix == ".m" else ALL_WEIGHTS
    if weights not in allowed:
        raise HerdError(
            f"{target.suffix} files cannot hold {weights} weights here; right would be "
            f"{', '.join(allowed)}."
        )
