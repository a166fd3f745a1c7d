"""Files of a model that are no files, and such as are header that is too large model's."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from gguf import GGUFValueType

from core.errors import HerdError
from models.convert import open_source, write_folder
from models.formats.dllama import model as dllama
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.model_files import MOST_BYTES
from tests.doubles.random_models import LLAMA, random_model

MODEL = random_model(LLAMA)
IN_A_FOLDER = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
)


def folder_with(path: Path) -> Path:
    write_folder(MODEL, path, "f32")
    return path


def with_vocabulary(path: Path) -> Path:
    dllama.write_model(MODEL, path, "f32")
    write_tokenizer(MODEL.tokenizer, path.with_suffix(".t"))
    return path


@pytest.mark.parametrize("name", IN_A_FOLDER)
def test_what_has_the_name_of_a_file_and_is_none_is_not_taken_for_absent(
    tmp_path: Path, name: str
) -> None:
    path = folder_with(tmp_path / "model") / name
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(HerdError, match=rf"{name} is not a regular file"):
        open_source(path.parent)
    path.unlink()
    path.symlink_to(tmp_path / "blobs")
    with pytest.raises(HerdError, match=rf"{name} is a link to a missing file"):
        open_source(path.parent)
    path.unlink()
    path.mkdir()
    with pytest.raises(HerdError, match=rf"{name} is not a regular file"):
        open_source(path.parent)


@pytest.mark.parametrize("name", ["a.gguf", "a.m", "a.t", "a.bin"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    model = with_vocabulary(tmp_path / "a.m")
    path = tmp_path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(HerdError, match=rf"{name} is not a regular file"):
        open_source(model if name == "a.t" else path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_a_small_file_that_is_not_small_is_not_read(tmp_path: Path, name: str) -> None:
    path = folder_with(tmp_path / "model") / name
    path.touch()
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(HerdError, match=rf"{name} is larger than 64 MiB"):
        open_source(path.parent)


def test_a_vocabulary_beside_a_model_that_is_not_small_is_not_read(tmp_path: Path) -> None:
    model = with_vocabulary(tmp_path / "a.m")
    os.truncate(model.with_suffix(".t"), 2**40)
    with pytest.raises(HerdError, match=r"a\.t is larger than 64 MiB"):
        open_source(model)


@pytest.mark.parametrize(
    ("counts", "rest", "words"),
    [
        (
            (0, 1),
            struct.pack("<Q", 2**33),
            "the name of a key, its header would exceed the limit of 64",
        ),
        (
            (0, 1),
            struct.pack("<Q1sIQ", 1, b"k", GGUFValueType.STRING, 2**33),
            "`k`, its header would exceed the limit of 64",
        ),
        (
            (0, 1),
            struct.pack("<Q1sIIQ", 1, b"k", GGUFValueType.ARRAY, GGUFValueType.STRING, 16 * 10**6),
            "`k` claims to have 16000000 elements",
        ),
        ((10**6, 0), b"", "it claims to have 1000000 tensors"),
        ((0, 10**9), b"", "its 1000000000 keys, its header would exceed"),
    ],
)
def test_a_large_file_is_not_believed_to_have_a_large_header(
    tmp_path: Path, counts: tuple[int, int], rest: bytes, words: str
) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + rest)
    os.truncate(path, 2**40)  # sparse: it takes no room
    begin = time.process_time()
    with pytest.raises(HerdError, match=words):
        open_source(path)
    assert time.process_time() - begin < 2
