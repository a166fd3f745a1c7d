"""Fetches a model's published files and reads them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from core.errors import HerdError
from core.progress import SilentReporter
from models.cache import cache_folder, only_one_at_a_time, require_free_space, scratch_folder
from models.download import ensure_file, fetched_sha256
from models.fine_tuned import require_recorded
from models.formats.dllama.model import read_header
from models.formats.dllama.vocabulary_reader import read_dllama_tokenizer
from models.formats.gguf.reader import read_gguf
from models.formats.huggingface.reader import read_huggingface
from models.formats.llama2c.reader import read_llama2c
from models.packages import PackageStore
from models.padding import padded
from models.partial import PartialFile
from models.synthetic import synthetic_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from core.progress import Reporter
    from models.catalogue import ModelFile, ModelSpec
    from models.checkpoint import Checkpoint
    from models.shape import ModelShape

_COMPARED = ("dim", "hidden_dim", "layers", "heads", "kv_heads", "head_dim", "vocab")
"""What decides sizes and numbers of nodes; a publisher may cut the context."""


def open_checkpoint(spec: ModelSpec, reporter: Reporter | None = None) -> Checkpoint:
    """Return the model in the intermediate representation; published weights are fetched first.

    Raises:
        HerdError: no source has the weights, or they are another model's than the catalogue says.
    """
    if spec.unpadded is not None:
        return padded(open_checkpoint(spec.unpadded, reporter), spec.shape.kv_heads)
    if spec.folder is not None:
        return _open_own(spec, spec.folder)
    if spec.directory:
        return _open_directory(spec, reporter or SilentReporter())
    if spec.format == "dllama":
        raise HerdError(
            f"{spec.name} is published in distributed-llama's format, and its files are used "
            "unchanged. For anything else, convert the original with `fab convert`."
        )
    if spec.checkpoint is None:
        return synthetic_checkpoint(spec.shape, spec.seed or 0)
    with _fetcher(spec, reporter or SilentReporter()) as fetch:
        if spec.tokenizer is None:
            path = fetch(spec.checkpoint, read_gguf)
            checkpoint = read_gguf(path)
            _require_same(spec, checkpoint.shape, path)
            return checkpoint
        weights = fetch(spec.checkpoint)
        return read_llama2c(weights, fetch(spec.tokenizer), spec.shape)


def read_fetched(spec: ModelSpec) -> Checkpoint:
    """Read a model whose published files are there (`is_fetched`), as they are.

    Nothing is fetched, compared with the catalogue or written, so that it may be asked at any time.

    Raises:
        HerdError: a file cannot be read, or the model is published ready for one engine.
    """
    if spec.unpadded is not None:
        return padded(read_fetched(spec.unpadded), spec.shape.kv_heads)
    folder = downloads_folder(spec)
    if spec.directory or spec.folder:
        return read_huggingface(folder)
    if spec.checkpoint is None or spec.format == "dllama":
        return open_checkpoint(spec)  # which is made here, or says why it cannot be
    if spec.tokenizer is None:
        return read_gguf(folder / spec.checkpoint.name)
    weights, vocabulary = folder / spec.checkpoint.name, folder / spec.tokenizer.name
    return read_llama2c(weights, vocabulary, spec.shape)


def _open_own(spec: ModelSpec, folder: Path) -> Checkpoint:
    """A model that was made on this machine, and is as it was made."""
    if spec.tuned is not None:
        require_recorded(folder, spec.tuned)
    checkpoint = read_huggingface(folder)
    _require_same(spec, checkpoint.shape, folder)
    return checkpoint


def _open_directory(spec: ModelSpec, reporter: Reporter) -> Checkpoint:
    folder = downloads_folder(spec)
    with _fetcher(spec, reporter) as fetch:
        missing = [file for file in spec.directory if not (folder / file.name).exists()]
        left_bytes = sum(
            (file.size_bytes or 0) - PartialFile(folder / file.name).size_bytes for file in missing
        )
        require_free_space(folder, max(0, left_bytes), f"Fetching {spec.name}")
        for file in spec.directory:
            fetch(file)
        checkpoint = read_huggingface(folder)
        _require_same(spec, checkpoint.shape, folder)
        return checkpoint


def is_fetched(spec: ModelSpec) -> bool:
    """Whether `open_checkpoint` would fetch nothing: the published files are on this machine."""
    bare = spec.unpadded or spec
    if bare.tuned is not None:
        return all((downloads_folder(bare) / name).exists() for name in bare.tuned.files)
    files = bare.directory or tuple(filter(None, (bare.checkpoint, bare.tokenizer)))
    return all((downloads_folder(bare) / file.name).exists() for file in files)


def fetch_ready(
    spec: ModelSpec, reporter: Reporter, size_bytes: int
) -> tuple[tuple[Literal["model", "tokenizer"], Path, str], ...]:
    """Role, path and sha256 of the files of a model published ready for distributed-llama.

    Args:
        spec: a model of the format `dllama`.
        reporter: hears progress.
        size_bytes: how large the model will be, to refuse before fetching what cannot fit.

    Raises:
        HerdError: no source has them, a file is not what its header says, or another model's.
    """
    if spec.checkpoint is None or spec.tokenizer is None:
        raise HerdError(f"{spec.name} has no files to fetch.")

    def check_model(path: Path) -> None:
        _require_same(spec, read_header(path).shape, path)

    with _fetcher(spec, reporter) as fetch:
        _require_room(spec.checkpoint, downloads_folder(spec), size_bytes)
        model = fetch(spec.checkpoint, check_model)
        tokenizer = fetch(spec.tokenizer, read_dllama_tokenizer)
        return (
            ("model", model, fetched_sha256(spec.checkpoint, model)),
            ("tokenizer", tokenizer, fetched_sha256(spec.tokenizer, tokenizer)),
        )


def _require_room(file: ModelFile, folder: Path, size_bytes: int) -> None:
    """Refuse before the first byte what cannot fit; parts alone might, one after the other."""
    if not (folder / file.name).exists():
        left_bytes = size_bytes - PartialFile(folder / file.name).size_bytes
        require_free_space(folder, left_bytes, f"Fetching {file.name}")


def downloads_folder(spec: ModelSpec) -> Path:
    """Return where the published files of a model are, or those of one that was made here."""
    return spec.folder or cache_folder() / "downloads" / spec.slug


@contextmanager
def _fetcher(spec: ModelSpec, reporter: Reporter) -> Iterator[Callable[..., Path]]:
    """A function that fetches a file of the model, called while no other command does."""
    folder = downloads_folder(spec)
    doing = f"Fetching {spec.name}"
    with (
        only_one_at_a_time(folder, doing, reporter),
        scratch_folder(folder / ".packages", doing) as scratch,
    ):
        packages = PackageStore(scratch, reporter)

        def fetch(file: ModelFile, check: Callable[[Path], object] = lambda _path: None) -> Path:
            return ensure_file(file, folder, packages, reporter, check)

        yield fetch


def _require_same(spec: ModelSpec, found: ModelShape, path: Path) -> None:
    for what in _COMPARED:
        there, said = getattr(found, what), getattr(spec.shape, what)
        if there != said:
            raise HerdError(
                f"{path.name} has {what} {there}, but the catalogue says {said} for "
                f"{spec.name}. Correct the catalogue."
            )
