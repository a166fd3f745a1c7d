"""Converts a model of a user's own into the files that an engine loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from core.errors import HerdError
from models.cache import landing, landing_folder
from models.formats.dllama import model as dllama
from models.formats.dllama.header import FLOAT_TYPES
from models.formats.dllama.vocabulary_reader import read_vocabulary
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.gguf import writer as gguf
from models.formats.gguf.reader import read_gguf
from models.formats.gguf.vocabulary import lost_in_gguf
from models.formats.huggingface import writer as huggingface_writer
from models.formats.huggingface.config import CONFIG
from models.formats.huggingface.reader import read_huggingface
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.formats.llama2c.reader import read_llama2c, read_shape
from models.formats.model_files import is_there, require_file
from models.limits import dllama_impossible
from models.padding import padded
from models.shape import ALL_WEIGHTS, lacks_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from core.progress import Reporter
    from models.checkpoint import Checkpoint
    from models.shape import Weights

TOKENIZER_BYTES_PER_PIECE = 40
_JSON_BYTES_PER_PIECE = 100
_SOURCES = (".gguf", ".m", ".bin")
_Target = Literal[".m", ".gguf", "folder"]
_ALLOWED: dict[_Target, tuple[Weights, ...]] = {
    ".m": tuple(FLOAT_TYPES),
    ".gguf": ALL_WEIGHTS,
    "folder": tuple(huggingface_writer.DTYPES),
}
_USUAL: dict[_Target, Weights] = {".m": "q4_0", ".gguf": "q4_0", "folder": "f32"}


def convert(
    source: Path, target: Path, weights: str | None, kv_heads: int | None, reporter: Reporter
) -> tuple[Path, ...]:
    """Write the model in `source` as `target`, one tensor in memory at a time.

    Args:
        source: a GGUF file, a `.m` file with its `.t` next to it, a Hugging Face directory, or
            llama2.c's `.bin` with `tokenizer.bin` next to it.
        target: a `.m` file (its vocabulary is written next to it as `.t`), a `.gguf` file, or a
            Hugging Face directory: a name without suffix, or an empty folder.
        weights: type of the matrices; None for `q4_0`, and `f32` in a directory.
        kv_heads: KV heads to write, the added ones zeros, so that more nodes can share the model;
            None for as many as there are.
        reporter: hears what is written.

    Returns:
        The files written.

    Raises:
        HerdError: the source cannot be read, the target's format has no such weights or heads,
            or the disk is full. Nothing half-written is left.
    """
    kind = _kind(target)
    _require_possible(source, target)
    wanted = weights or _USUAL[kind]
    chosen = next((one for one in _ALLOWED[kind] if one == wanted), None)
    if chosen is None:
        what = "A Hugging Face directory" if kind == "folder" else f"A {kind} file"
        raise HerdError(f"{what} cannot hold {wanted} weights; choose {', '.join(_ALLOWED[kind])}.")
    checkpoint = open_source(source)
    if kv_heads is not None:
        checkpoint = padded(checkpoint, kv_heads)
    shape = checkpoint.shape
    reason = dllama_impossible(shape, chosen, 1) if kind == ".m" else lacks_blocks(shape, chosen)
    if reason:
        raise HerdError(f"{source.name} cannot be written as {target.name}: {reason}.")
    reporter.note(f"writing {target}")
    lost = lost_in_gguf(checkpoint.tokenizer) if kind == ".gguf" else None
    if lost:
        reporter.note(f"{target.name}: {lost}")
    if kind == ".gguf":
        return _write_gguf(checkpoint, target, chosen)
    if kind == ".m":
        return _write_dllama(checkpoint, target, chosen)
    return write_folder(checkpoint, target, chosen)


def open_source(source: Path) -> Checkpoint:
    """The model in a file or folder of a user's, by its suffix.

    Raises:
        HerdError: as `convert`.
    """
    try:
        return _opened(source)
    except OSError as error:
        raise HerdError(f"Reading {error.filename or source}: {error.strerror or error}.") from None


def _opened(source: Path) -> Checkpoint:
    if source.is_dir():
        if not is_there(source / CONFIG):
            raise HerdError(f"{source} is not a Hugging Face directory: it has no {CONFIG}.")
        return read_huggingface(source)
    require_file(source)
    if source.suffix == ".gguf":
        return read_gguf(source)
    tokenizer = (
        source.with_suffix(".t") if source.suffix == ".m" else source.with_name("tokenizer.bin")
    )
    if not is_there(tokenizer):
        raise HerdError(f"{source} needs its vocabulary in the same folder: put {tokenizer} there.")
    if source.suffix == ".m":
        vocabulary = read_vocabulary(tokenizer)
        return dllama.read_model(source, vocabulary.tokenizer, vocabulary.order)
    return read_llama2c(source, tokenizer, read_shape(source))


def _write_gguf(checkpoint: Checkpoint, target: Path, weights: Weights) -> tuple[Path, ...]:
    size_bytes = gguf.expected_size_bytes(checkpoint.shape, weights)
    with landing(target, size_bytes, f"Writing {target}") as path:
        gguf.write_gguf(checkpoint, path, weights, target.stem)
    return (target,)


def _write_dllama(checkpoint: Checkpoint, target: Path, weights: Weights) -> tuple[Path, ...]:
    tokenizer = target.with_suffix(".t")
    vocabulary_bytes = checkpoint.shape.vocab * TOKENIZER_BYTES_PER_PIECE
    model_bytes = dllama.expected_size_bytes(checkpoint.shape, weights)
    with (
        landing(tokenizer, vocabulary_bytes, f"Writing {tokenizer}") as tokenizer_path,
        landing(target, model_bytes, f"Writing {target}") as model_path,
    ):
        write_tokenizer(checkpoint.tokenizer, tokenizer_path)
        dllama.write_model(checkpoint, model_path, weights)
    return target, tokenizer


def write_folder(checkpoint: Checkpoint, target: Path, weights: Weights) -> tuple[Path, ...]:
    """Write a Hugging Face directory; the files written.

    Raises:
        HerdError: the vocabulary cannot be written so, or the disk is full.
    """
    size_bytes = huggingface_writer.expected_size_bytes(checkpoint.shape, weights)
    size_bytes += checkpoint.shape.vocab * _JSON_BYTES_PER_PIECE
    with landing_folder(target, size_bytes, f"Writing {target}") as folder:
        files = [
            *write_vocabulary(checkpoint.tokenizer, folder),
            *huggingface_writer.write_weights(checkpoint, folder, weights),
        ]
    return tuple(target / file.name for file in files)


def _kind(target: Path) -> _Target:
    """What `target` is to become; `llama-3.1` is a folder, its suffix a version."""
    if target.suffix == ".m":
        return ".m"
    if target.suffix == ".gguf":
        return ".gguf"
    if target.is_dir() or not target.suffix.strip(".").isalpha():
        return "folder"
    raise HerdError(
        f"{target.name} must end in .m or .gguf, or have no suffix for a Hugging Face directory."
    )


def _require_possible(source: Path, target: Path) -> None:
    if not source.exists():
        raise HerdError(f"Cannot convert {source}: no such file or folder.")
    if not source.is_dir() and source.suffix not in _SOURCES:
        raise HerdError(
            f"{source.name} cannot be converted. Give a .gguf file, a .m file with its .t in "
            "the same folder, a Hugging Face directory, or a .bin file of llama2.c with "
            "tokenizer.bin in the same folder."
        )
    if target.exists() and target.samefile(source):
        raise HerdError(f"{target} is the source itself: choose another target.")
