"""What engines load is built once, whole or not at all, and reported for the nodes."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.digest import sha256_of
from core.errors import HerdError
from models.__main__ import main
from models.build import Format, artifact_file_names, ensure_artifact, is_cached
from models.cache import cache_errors
from models.catalogue import ModelSpec, load_catalogue
from models.fetch import open_checkpoint
from models.formats.dllama import model as dllama
from models.formats.gguf.writer import write_gguf
from models.shape import Weights
from models.synthetic import synthetic_checkpoint


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny() -> ModelSpec:
    return load_catalogue().get("synthetic:tiny")


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


@pytest.mark.parametrize(
    ("file_format", "weights", "roles"),
    [
        ("gguf", "f32", ["model"]),
        ("gguf", "q8_0", ["model"]),
        ("dllama", "q4_0", ["model", "tokenizer"]),
    ],
)
def test_files_are_built_with_the_size_and_sha256_that_are_said(
    tiny: ModelSpec, file_format: Format, weights: Weights, roles: list[str]
) -> None:
    artifact = ensure_artifact(tiny, file_format, weights)
    assert [file.role for file in artifact.files] == roles
    for file in artifact.files:
        assert file.path.stat().st_size == file.size_bytes
        assert sha256_of(file.path) == file.sha256
    names = artifact_file_names(tiny, file_format, weights)
    assert {file.role: file.node_path for file in artifact.files} == names


def test_names_on_nodes_say_model_and_weights(tiny: ModelSpec) -> None:
    folder = "/opt/llama-herd/models/synthetic-tiny"
    assert artifact_file_names(tiny, "gguf", "q8_0") == {
        "model": f"{folder}/synthetic-tiny-q8_0.gguf"
    }
    assert artifact_file_names(tiny, "dllama", "q4_0") == {
        "model": f"{folder}/synthetic-tiny-q4_0.m",
        "tokenizer": f"{folder}/synthetic-tiny.t",
    }


def test_a_second_call_builds_nothing(tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure_artifact(tiny, "dllama", "f32")
    assert is_cached(tiny, "dllama", "f32")
    monkeypatch.setattr("models.build.open_checkpoint", pytest.fail)
    assert ensure_artifact(tiny, "dllama", "f32") == first


def test_the_same_seed_builds_the_same_bytes_on_another_day(
    tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = ensure_artifact(tiny, "gguf", "q4_0")
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "other"))
    second = ensure_artifact(tiny, "gguf", "q4_0")
    assert second.file("model").sha256 == first.file("model").sha256


def test_a_file_damaged_in_the_cache_is_built_again(tiny: ModelSpec) -> None:
    built = ensure_artifact(tiny, "gguf", "q4_0").file("model")
    content = built.path.read_bytes()
    built.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert ensure_artifact(tiny, "gguf", "q4_0").file("model").sha256 == built.sha256
    assert built.path.read_bytes() == content


def test_a_file_of_another_seed_under_the_same_name_is_built_again(tiny: ModelSpec) -> None:
    other = ModelSpec(**{**vars(tiny), "seed": 2})
    first = ensure_artifact(other, "gguf", "q4_0").file("model")
    second = ensure_artifact(tiny, "gguf", "q4_0").file("model")
    assert first.path == second.path
    assert first.sha256 != second.sha256


def test_two_commands_at_once_build_one_good_file(tiny: ModelSpec) -> None:
    with ThreadPoolExecutor(4) as pool:
        builds = [pool.submit(ensure_artifact, tiny, "dllama", "f32") for _ in range(4)]
    artifacts = {build.result() for build in builds}
    assert len(artifacts) == 1
    assert dllama.read_header(artifacts.pop().file("model").path).weights == "f32"


def test_a_disk_that_fills_up_while_writing_leaves_nothing(
    tiny: ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, path: Path, *more: object) -> None:
        path.write_bytes(b"half a model")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("models.formats.dllama.model.write_model", full)
    with pytest.raises(HerdError, match=r"Writing synthetic-tiny-f32.m .*is full"):
        ensure_artifact(tiny, "dllama", "f32")
    assert files_in(cache) == []


def test_a_really_full_disk_is_named(tiny: ModelSpec, tmp_path: Path) -> None:
    """/dev/full refuses every byte as a full disk does, through numpy's own writing as well."""
    checkpoint = synthetic_checkpoint(tiny.shape, 1)
    with pytest.raises(HerdError, match="is full"), cache_errors("Writing a.gguf", tmp_path):
        write_gguf(checkpoint, Path("/dev/full"), "f32", "a")
    with pytest.raises(HerdError, match="is full"), cache_errors("Writing a.m", tmp_path):
        dllama.write_model(checkpoint, Path("/dev/full"), "f32")


def test_a_disk_too_small_is_refused_before_writing(
    tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.cache._free_bytes", lambda _: 2**20)
    with pytest.raises(HerdError, match=r"it needs 7 MiB, 1 MiB are free"):
        ensure_artifact(tiny, "dllama", "f32")


def test_a_cache_that_cannot_be_written_is_named(
    tiny: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "file"))
    with pytest.raises(HerdError, match=r"Not a directory.*set LLAMA_HERD_CACHE to another folder"):
        ensure_artifact(tiny, "gguf", "f32")


def test_weights_that_an_engine_cannot_run_are_refused(tiny: ModelSpec) -> None:
    with pytest.raises(HerdError, match="Files in format dllama cannot have q8_0 weights"):
        ensure_artifact(tiny, "dllama", "q8_0")


def test_the_command_line_prints_the_files_as_one_json_object() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models", "build", "synthetic:tiny", "--format", "dllama",
         "--weights", "q4_0", "--print-json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = json.loads(done.stdout)["files"]
    assert [file["role"] for file in files] == ["model", "tokenizer"]
    assert set(files[0]) == {"role", "path", "size_bytes", "sha256", "node_path"}
    assert Path(files[0]["path"]).stat().st_size == files[0]["size_bytes"]
    assert "writing synthetic-tiny-q4_0.m" in done.stderr


def test_a_mistake_on_the_command_line_is_one_paragraph_and_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["build", "storys15m", "--format", "gguf", "--weights", "f32"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("The catalogue has no model `storys15m`")
    assert "Traceback" not in message


def test_a_model_of_random_weights_has_nothing_to_fetch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fetch", "synthetic:tiny"]) == 0
    assert "nothing to fetch" in capsys.readouterr().out


def test_a_model_that_is_used_as_published_is_not_opened_for_anything_else() -> None:
    with pytest.raises(HerdError, match="published in distributed-llama's format, and its files"):
        open_checkpoint(load_catalogue().get("qwen3-0.6b"))


def test_the_list_names_every_model_with_what_is_cached(
    tiny: ModelSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_artifact(tiny, "gguf", "q4_0")
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for word in ("stories15m", "MIT", "q4_0 2 ✓"):
        assert word in shown
    words = " ".join(shown.replace("│", " ").split())
    assert "58 MiB to" in words
