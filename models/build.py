"""Builds the files that an engine loads, once, in the controller's cache."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from core.digest import sha256_of
from core.errors import HerdError
from core.paths import MODELS_FOLDER
from core.progress import SilentReporter
from models.built import find_built, record_built
from models.cache import cache_folder, landing, only_one_at_a_time
from models.convert import TOKENIZER_BYTES_PER_PIECE, write_folder
from models.fetch import downloads_folder, fetch_ready, open_checkpoint
from models.formats.dllama import model as dllama
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.gguf import writer as gguf
from models.formats.gguf.vocabulary import lost_in_gguf
from models.formats.huggingface import writer as huggingface_writer
from models.formats.huggingface.config import CONFIG
from models.formats.huggingface.reader import WEIGHTS
from models.shape import lacks_blocks

if TYPE_CHECKING:
    from core.progress import Reporter
    from models.catalogue import ModelSpec
    from models.checkpoint import Checkpoint
    from models.shape import Weights

Format = Literal["gguf", "dllama", "huggingface"]
Role = Literal["model", "tokenizer", "config", "tokenizer_config", "generation_config"]
WEIGHTS_OF_FORMAT: dict[Format, tuple[Weights, ...]] = {
    "gguf": ("f32", "f16", "q8_0", "q4_0"),
    "dllama": ("f32", "q4_0"),
    "huggingface": ("f32",),
}
VOCABULARY_ROLES: tuple[Role, ...] = ("tokenizer", "tokenizer_config", "generation_config")
_RECIPE = 6
"""Raise when the bytes written for a model change, so that caches build it again."""


def weights_of(spec: ModelSpec, format: Format) -> tuple[Weights, ...]:  # noqa: A002  # the word
    """Return the weight types in which a model is available in a format; there may be none."""
    allowed = WEIGHTS_OF_FORMAT[format]
    return tuple(weights for weights in allowed if not_published(spec, format, weights) is None)


def not_published(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
) -> str | None:
    """Return why a model is not available in a format with that weight type.

    It is published ready for distributed-llama, or its rows are no whole blocks of the type.
    """
    if spec.format != "dllama":
        lacking = lacks_blocks(spec.shape, weights)
        return lacking and f"{spec.name} is not available with {weights} weights: {lacking}"
    if (format, weights) == ("dllama", "q4_0"):
        return None
    return (
        f"{spec.name} is published in distributed-llama's format with q4_0 weights only: for "
        "another engine or other weights, convert the original with `fab convert`"
    )


@dataclass(frozen=True)
class ArtifactFile:
    """One file that an engine loads.

    Attributes:
        role: `model`, `tokenizer` where the vocabulary is a separate file, or one of the small
            files of a Hugging Face directory.
        path: its path on this machine.
        node_path: its path on a node.
        size_bytes: its size.
        sha256: its sha256.
    """

    role: Role
    path: Path
    node_path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """The files that an engine needs for a model with one type of weights."""

    files: tuple[ArtifactFile, ...]

    def file(self, role: Role) -> ArtifactFile:
        """The file of a role.

        Raises:
            KeyError: this artifact has no such file.
        """
        for file in self.files:
            if file.role == role:
                return file
        raise KeyError(role)


def artifact_file_names(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
) -> dict[Role, str]:
    """Return the paths of a model's files on nodes, by role, without building anything.

    Petals gets a model without the heads that were added for distributed-llama: they say nothing.
    """
    if format == "huggingface":
        plain = spec.unpadded or spec
        folder = f"{MODELS_FOLDER}/{plain.slug}-{weights}"
        named: dict[Role, str] = {"model": f"{folder}/{WEIGHTS}", "config": f"{folder}/{CONFIG}"}
        return named | {role: f"{folder}/{role}.json" for role in VOCABULARY_ROLES}
    folder = f"{MODELS_FOLDER}/{spec.slug}"
    if format == "gguf":
        return {"model": f"{folder}/{spec.slug}-{weights}.gguf"}
    return {"model": f"{folder}/{spec.slug}-{weights}.m", "tokenizer": f"{folder}/{spec.slug}.t"}


def ensure_artifact(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
    reporter: Reporter | None = None,
) -> Artifact:
    """Make sure that the files of a model are in the cache, and return what they are.

    A second call finds them by their manifests and returns at once.

    Raises:
        HerdError: no source has the weights, the format has no such weights, or the disk is full.
    """
    _require_weights(spec, format, weights)
    names = artifact_file_names(spec, format, weights)
    listener = reporter or SilentReporter()
    if spec.format == "dllama":
        return _ensure_ready(spec, names, listener)
    if format == "huggingface":
        return _ensure_folder(spec.unpadded or spec, names, weights, listener)
    folder = _built_folder(spec)
    with only_one_at_a_time(folder, f"Preparing {spec.name}", listener):
        files = [
            _ensure_built(spec, role, node_path, weights, listener)
            for role, node_path in names.items()
        ]
    return Artifact(files=tuple(files))


def is_cached(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
) -> bool:
    """Return whether the files of a model are already in the cache."""
    names = artifact_file_names(spec, format, weights)
    if spec.format == "dllama":
        published = [file.name for file in (spec.checkpoint, spec.tokenizer) if file]
        return all((downloads_folder(spec) / name).exists() for name in published)
    if format == "huggingface":
        spec = spec.unpadded or spec
        targets = list(_folder_files(spec, names, weights).values())
    else:
        targets = [_built_folder(spec) / Path(node_path).name for node_path in names.values()]
    return all(find_built(target, _identity(spec)) for target in targets)


def expected_size_bytes(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
) -> int:
    """Size of the model file: exact for distributed-llama, an upper bound for the others."""
    if format == "huggingface":
        return huggingface_writer.expected_size_bytes((spec.unpadded or spec).shape, weights)
    if format == "gguf":
        return gguf.expected_size_bytes(spec.shape, weights)
    return dllama.expected_size_bytes(spec.shape, weights)


def _ensure_ready(spec: ModelSpec, names: dict[Role, str], reporter: Reporter) -> Artifact:
    """The files of a model that is published as distributed-llama loads them."""
    size_bytes = expected_size_bytes(spec, "dllama", "q4_0")
    return Artifact(
        files=tuple(
            ArtifactFile(
                role=role,
                path=path,
                node_path=names[role],
                size_bytes=path.stat().st_size,
                sha256=sha256,
            )
            for role, path, sha256 in fetch_ready(spec, reporter, size_bytes)
        )
    )


def _ensure_folder(
    spec: ModelSpec, names: dict[Role, str], weights: Weights, reporter: Reporter
) -> Artifact:
    """A Hugging Face directory, whose files are written together."""
    files = _folder_files(spec, names, weights)
    identity = _identity(spec)
    with only_one_at_a_time(_built_folder(spec), f"Preparing {spec.name}", reporter):
        built = {role: find_built(path, identity) for role, path in files.items()}
        if not all(built.values()):
            folder = files["model"].parent
            reporter.note(f"writing {folder.name}")
            checkpoint = open_checkpoint(spec, reporter)
            if folder.exists():
                shutil.rmtree(folder)
            write_folder(checkpoint, folder, weights)
            built = {role: record_built(path, identity) for role, path in files.items()}
    return Artifact(
        files=tuple(
            ArtifactFile(
                role=role,
                path=files[role],
                node_path=node_path,
                size_bytes=found.size_bytes,
                sha256=found.sha256,
            )
            for role, node_path in names.items()
            if (found := built[role]) is not None
        )
    )


def _folder_files(spec: ModelSpec, names: dict[Role, str], weights: Weights) -> dict[Role, Path]:
    folder = _built_folder(spec) / f"huggingface-{weights}"
    return {role: folder / Path(node_path).name for role, node_path in names.items()}


def _ensure_built(
    spec: ModelSpec, role: Role, node_path: str, weights: Weights, reporter: Reporter
) -> ArtifactFile:
    target = _built_folder(spec) / Path(node_path).name
    built = find_built(target, _identity(spec))
    if built is None:
        checkpoint = open_checkpoint(spec, reporter)
        reporter.note(f"writing {target.name}")
        lost = lost_in_gguf(checkpoint.tokenizer) if target.suffix == ".gguf" else None
        if lost:
            reporter.note(f"{target.name}: {lost}")
        _write(spec, checkpoint, target, weights)
        built = record_built(target, _identity(spec))
    return ArtifactFile(
        role=role,
        path=target,
        node_path=node_path,
        size_bytes=built.size_bytes,
        sha256=built.sha256,
    )


def _write(spec: ModelSpec, checkpoint: Checkpoint, target: Path, weights: Weights) -> None:
    doing = f"Writing {target.name}"
    if target.suffix == ".gguf":
        size_bytes = expected_size_bytes(spec, "gguf", weights)
        with landing(target, size_bytes, doing) as path:
            gguf.write_gguf(checkpoint, path, weights, spec.name)
    elif target.suffix == ".m":
        size_bytes = expected_size_bytes(spec, "dllama", weights)
        with landing(target, size_bytes, doing) as path:
            dllama.write_model(checkpoint, path, weights)
    else:
        with landing(target, spec.shape.vocab * TOKENIZER_BYTES_PER_PIECE, doing) as path:
            write_tokenizer(checkpoint.tokenizer, path)


def _built_folder(spec: ModelSpec) -> Path:
    return cache_folder() / "artifacts" / spec.slug


def _identity(spec: ModelSpec) -> str:
    """What the bytes of a built file follow from."""
    origin = spec.checkpoint.sha256 if spec.checkpoint else f"seed {spec.seed}"
    if spec.folder is not None:
        files = spec.tuned.files if spec.tuned else _hashes(spec.folder)
        origin = "; ".join(f"{name} {files[name]}" for name in sorted(files))
    if spec.directory:
        origin = "; ".join(f"{f.sources[0].address} {f.sha256}" for f in spec.directory)
    return f"recipe {_RECIPE}; {origin}; {spec.shape.model_dump_json()}"


def _hashes(folder: Path) -> dict[str, str]:
    """File name to sha256 of a model that has no record yet."""
    return {path.name: _hash_of(path) for path in folder.iterdir() if path.is_file()}


def _hash_of(path: Path) -> str:
    status = path.stat()
    return _hash_once(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _hash_once(path: Path, _stamp: tuple[int, int, int]) -> str:
    """Hash a file once for as long as it stays the same: several of its forms ask for that."""
    return sha256_of(path)


def _require_weights(spec: ModelSpec, file_format: Format, weights: Weights) -> None:
    known = get_args(Format)
    if file_format not in known:
        raise HerdError(
            f"Unknown format `{file_format}`; the known formats are {', '.join(known)}."
        )
    if weights not in WEIGHTS_OF_FORMAT[file_format]:
        raise HerdError(
            f"Files in format {file_format} cannot have {weights} weights, only "
            f"{', '.join(WEIGHTS_OF_FORMAT[file_format])}. Change the axis `weights`."
        )
    reason = not_published(spec, file_format, weights)
    if reason:
        raise HerdError(f"{reason}.")
