"""Published files become an engine's files: converted from GGUF, or used as they are."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import HerdError
from models.build import ensure_artifact, is_cached, weights_of
from models.cache import CACHE_VARIABLE
from models.catalogue import FileSource, ModelFile, ModelSpec
from models.checkpoint import EMBEDDING, Checkpoint, layer_tensor
from models.fetch import downloads_folder, open_checkpoint
from models.formats.dllama.model import write_model
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.gguf.writer import write_gguf
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.formats.huggingface.writer import write_weights
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint

SHAPE = ModelShape(
    dim=64, hidden_dim=96, layers=2, heads=4, kv_heads=2, head_dim=16, vocab=512, context=64
)
NOWHERE = (FileSource.model_construct(address="http://127.0.0.1:9/x"),)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))


@pytest.fixture
def ready() -> ModelSpec:
    """A model that is published for distributed-llama, whose files somebody put into the cache."""
    spec = ModelSpec(
        name="ready",
        shape=SHAPE,
        licence="none",
        source="nowhere",
        about="",
        format="dllama",
        checkpoint=ModelFile.model_construct(name="published.m", sources=NOWHERE),
        tokenizer=ModelFile.model_construct(name="published.t", sources=NOWHERE),
    )
    checkpoint = synthetic_checkpoint(SHAPE, 5)
    downloads_folder(spec).mkdir(parents=True)
    write_model(checkpoint, downloads_folder(spec) / "published.m", "q4_0")
    write_tokenizer(checkpoint.tokenizer, downloads_folder(spec) / "published.t")
    return spec


def test_ready_files_are_used_as_they_are_under_the_names_of_the_model(ready: ModelSpec) -> None:
    artifact = ensure_artifact(ready, "dllama", "q4_0")
    for role, name in (("model", "ready-q4_0.m"), ("tokenizer", "ready.t")):
        file = artifact.file(role)  # type: ignore[arg-type]  # one of the two roles
        assert file.path.parent == downloads_folder(ready)
        assert file.node_path == f"/opt/llama-herd/models/ready/{name}"
        assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert is_cached(ready, "dllama", "q4_0")


def test_ready_files_serve_one_engine_with_one_type_of_weights(ready: ModelSpec) -> None:
    assert weights_of(ready, "dllama") == ("q4_0",)
    assert weights_of(ready, "gguf") == ()
    with pytest.raises(
        HerdError,
        match=r"^ready is published in distributed-llama's format.* `fab convert`\.$",
    ):
        ensure_artifact(ready, "gguf", "q4_0")
    with pytest.raises(HerdError, match="weights only"):
        ensure_artifact(ready, "dllama", "f32")


def test_a_ready_file_that_was_cut_short_is_refused(ready: ModelSpec) -> None:
    path = downloads_folder(ready) / "published.m"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HerdError, match="truncated or damaged"):
        ensure_artifact(ready, "dllama", "q4_0")


def test_a_ready_file_of_another_model_is_refused(ready: ModelSpec) -> None:
    other = replace(ready, shape=SHAPE.model_copy(update={"layers": 3}))
    with pytest.raises(HerdError, match=r"has layers 2, but the catalogue says 3 for ready"):
        ensure_artifact(other, "dllama", "q4_0")


def test_a_published_gguf_is_read_and_built_for_either_engine(tmp_path: Path) -> None:
    checkpoint = synthetic_checkpoint(SHAPE, 5)
    source = tmp_path / "downloads" / "mine" / "mine.gguf"
    source.parent.mkdir(parents=True)
    write_gguf(checkpoint, source, "f32", "mine")
    file = ModelFile.model_construct(
        name="mine.gguf",
        size_bytes=source.stat().st_size,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        sources=NOWHERE,
    )
    spec = ModelSpec(
        name="mine",
        shape=SHAPE,
        licence="none",
        source="nowhere",
        about="",
        format="gguf",
        checkpoint=file,
    )
    read = open_checkpoint(spec)
    assert np.array_equal(read.tensor("layers.1.q"), checkpoint.tensor("layers.1.q"))
    assert ensure_artifact(spec, "dllama", "q4_0").file("model").size_bytes > 0
    other = replace(spec, shape=SHAPE.model_copy(update={"hidden_dim": 128}))
    with pytest.raises(HerdError, match="has hidden_dim 96, but the catalogue says 128 for mine"):
        open_checkpoint(other)


def directory_of(checkpoint: Checkpoint) -> ModelSpec:
    """A model whose Hugging Face directory somebody put into the cache."""
    spec = ModelSpec(
        name="published",
        shape=SHAPE,
        licence="none",
        source="nowhere",
        about="",
        format="huggingface",
    )
    folder = downloads_folder(spec)
    folder.mkdir(parents=True)
    write_weights(checkpoint, folder, "f32")
    write_vocabulary(checkpoint.tokenizer, folder)
    files = tuple(
        ModelFile.model_construct(name=path.name, sources=NOWHERE)
        for path in sorted(folder.iterdir())
    )

    return replace(spec, directory=files)


def test_a_directory_becomes_the_files_of_both_engines() -> None:
    checkpoint = synthetic_checkpoint(SHAPE, 5)
    spec = directory_of(checkpoint)

    found = open_checkpoint(spec)

    for name in (EMBEDDING, layer_tensor(0, "q")):
        assert np.array_equal(found.tensor(name), checkpoint.tensor(name))
    assert ensure_artifact(spec, "gguf", "q4_0").file("model").path.exists()
    assert ensure_artifact(spec, "dllama", "q4_0").file("tokenizer").path.exists()
    assert weights_of(spec, "gguf") == ("f32", "f16", "q8_0", "q4_0")


def test_a_directory_of_another_model_is_refused() -> None:
    spec = directory_of(synthetic_checkpoint(SHAPE, 5))
    other = replace(spec, shape=SHAPE.model_copy(update={"layers": 3}))
    with pytest.raises(HerdError, match="has layers 2, but the catalogue says 3 for published"):
        open_checkpoint(other)
