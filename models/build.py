"""Builds the files that an engine loads, once, in the controller's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from models.built import find_built, record_built
from models.cache import cache_folder, landing, only_one_at_a_time, scratch_folder
from models.convert import TOKENIZER_BYTES_PER_PIECE
from models.download import ensure_file
from models.errors import HerdError
from models.formats import dllama, gguf
from models.formats.dllama_tokenizer import write_tokenizer
from models.formats.llama2c import read_llama2c
from models.packages import PackageStore
from models.padding import padded
from models.report import SilentReporter
from models.synthetic import synthetic_checkpoint

if TYPE_CHECKING:
    from models.catalogue import ModelSpec
    from models.checkpoint import Checkpoint
    from models.report import Reporter
    from models.shape import Weights

Format = Literal["gguf", "dllama"]
Role = Literal["model", "tokenizer"]
WEIGHTS_OF_FORMAT: dict[Format, tuple[Weights, ...]] = {
    "gguf": ("f32", "f16", "q8_0", "q4_0"),
    "dllama": ("f32", "q4_0"),
}
NODE_FOLDER = "/opt/llama-herd/models"
_RECIPE = 5
"""Raise when the bytes written for a model change, so that caches build it again."""


@dataclass(frozen=True)
class ArtifactFile:
    """One file that an engine loads.

    Attributes:
        role: `model`, or `tokenizer` for distributed-llama's vocabulary.
        path: where it lies on this machine.
        node_path: where it lies on a node.
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
    """Where the files of a model lie on nodes, by role, without building anything.

    Raises:
        HerdError: the format has no such weights.
    """
    _require_weights(format, weights)
    folder = f"{NODE_FOLDER}/{spec.slug}"
    if format == "gguf":
        return {"model": f"{folder}/{spec.slug}-{weights}.gguf"}
    return {"model": f"{folder}/{spec.slug}-{weights}.m", "tokenizer": f"{folder}/{spec.slug}.t"}


def ensure_artifact(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
    reporter: Reporter | None = None,
) -> Artifact:
    """Make sure that the files of a model lie in the cache, and say where and what they are.

    A second call finds them by their manifests and returns at once.

    Raises:
        HerdError: no source has the weights, the format has no such weights, or the disk is full.
    """
    names = artifact_file_names(spec, format, weights)
    listener = reporter or SilentReporter()
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
    """Whether the files of a model already lie in the cache."""
    targets = [
        _built_folder(spec) / Path(node_path).name
        for node_path in artifact_file_names(spec, format, weights).values()
    ]
    return all(find_built(target, _identity(spec)) for target in targets)


def expected_size_bytes(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
) -> int:
    """Size of the model file: exact for distributed-llama, an upper bound for GGUF."""
    if format == "gguf":
        return gguf.expected_size_bytes(spec.shape, weights)
    return dllama.expected_size_bytes(spec.shape, weights)


def open_checkpoint(spec: ModelSpec, reporter: Reporter | None = None) -> Checkpoint:
    """The model in the neutral form; published weights are fetched first.

    Raises:
        HerdError: no source has the weights.
    """
    if spec.unpadded is not None:
        return padded(open_checkpoint(spec.unpadded, reporter), spec.shape.kv_heads)
    if spec.checkpoint is None or spec.tokenizer is None:
        return synthetic_checkpoint(spec.shape, spec.seed or 0)
    listener = reporter or SilentReporter()
    folder = cache_folder() / "downloads" / spec.slug
    doing = f"Fetching {spec.name}"
    with (
        only_one_at_a_time(folder, doing, listener),
        scratch_folder(folder / ".packages", doing) as scratch,
    ):
        packages = PackageStore(scratch, listener)
        weights = ensure_file(spec.checkpoint, folder, packages, listener)
        tokenizer = ensure_file(spec.tokenizer, folder, packages, listener)
    return read_llama2c(weights, tokenizer, spec.shape)


def _ensure_built(
    spec: ModelSpec, role: Role, node_path: str, weights: Weights, reporter: Reporter
) -> ArtifactFile:
    target = _built_folder(spec) / Path(node_path).name
    built = find_built(target, _identity(spec))
    if built is None:
        checkpoint = open_checkpoint(spec, reporter)
        reporter.note(f"writing {target.name}")
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
    return f"recipe {_RECIPE}; {origin}; {spec.shape.model_dump_json()}"


def _require_weights(file_format: Format, weights: Weights) -> None:
    known = get_args(Format)
    if file_format not in known:
        raise HerdError(f"There is no format `{file_format}`; known are {', '.join(known)}.")
    allowed = WEIGHTS_OF_FORMAT[file_format]
    if weights not in allowed:
        engine = {"gguf": "llama.cpp", "dllama": "distributed-llama"}[file_format]
        raise HerdError(
            f"{engine} cannot be given {weights} weights; it runs {', '.join(allowed)}. "
            "Change the axis `weights`."
        )
