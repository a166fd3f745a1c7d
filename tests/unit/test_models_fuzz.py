"""Whatever is changed in a model's file, reading it ends soon: in a model, or in one sentence."""

from __future__ import annotations

import json
import random
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.errors import HerdError
from models.checkpoint import CLASSIFIER, Checkpoint, layer_tensor, tensor_shapes
from models.convert import open_source, write_folder
from models.formats.dllama import model as dllama
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.gguf.writer import write_gguf
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint
from tests.doubles.vocabularies import byte_level, trained_sentencepiece

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = ModelShape(
    dim=32, hidden_dim=32, layers=2, heads=2, kv_heads=1, head_dim=16, vocab=450, context=32
)
MODEL = synthetic_checkpoint(SHAPE, seed=1)
BYTES = replace(MODEL, tokenizer=byte_level())
NUMBERS = (0, 1, 2, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63, 2**64 - 1)
PARTS: tuple[object, ...] = (
    None,
    -1,
    0,
    2**31,
    10**30,
    1e400,
    float("nan"),
    "",
    "\u2581",
    "<s>",
    [],
    [[1]],
    {},
    {"type": "Sequence"},
    {"type": []},
    True,
)
BUDGET_S = 1.5
"""For the changes of one file; slow machines try fewer of the same ones."""
LONGEST_S = 10.0
"""What a believed size would take at least; a busy machine takes some seconds for nothing."""


def gguf(folder: Path) -> Path:
    write_gguf(MODEL, folder / "a.gguf", "q4_0", "a")
    return folder / "a.gguf"


def byte_level_gguf(folder: Path) -> Path:
    write_gguf(BYTES, folder / "a.gguf", "f32", "a")
    return folder / "a.gguf"


def m_and_t(folder: Path) -> Path:
    dllama.write_model(MODEL, folder / "a.m", "q4_0")
    write_tokenizer(MODEL.tokenizer, folder / "a.t")
    return folder / "a.m"


def byte_level_m_and_t(folder: Path) -> Path:
    dllama.write_model(BYTES, folder / "a.m", "f32")
    write_tokenizer(BYTES.tokenizer, folder / "a.t")
    return folder / "a.m"


def llama2c(folder: Path) -> Path:
    sizes = (SHAPE.dim, SHAPE.hidden_dim, SHAPE.layers, SHAPE.heads, SHAPE.kv_heads, -SHAPE.vocab)
    order = ("attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up")
    names = ["embedding", *(layer_tensor(n, p) for p in order for n in range(SHAPE.layers))]
    content = struct.pack("<7i", *sizes, SHAPE.context)
    content += b"".join(MODEL.tensor(name).tobytes() for name in [*names, "final_norm"])
    content += bytes(4 * SHAPE.context * SHAPE.head_dim) + MODEL.tensor(CLASSIFIER).tobytes()
    (folder / "a.bin").write_bytes(content)
    pieces = [piece.encode() for piece in MODEL.tokenizer.pieces]
    entries = zip(MODEL.tokenizer.scores, pieces, strict=True)
    packed = b"".join(struct.pack("<fi", score, len(piece)) + piece for score, piece in entries)
    (folder / "tokenizer.bin").write_bytes(struct.pack("<i", 8) + packed)
    return folder / "a.bin"


def folder_of(model: Checkpoint, folder: Path) -> Path:
    write_folder(model, folder / "a", "f16")
    return folder / "a"


def directory(folder: Path) -> Path:
    return folder_of(MODEL, folder)


def byte_level_directory(folder: Path) -> Path:
    return folder_of(BYTES, folder)


def sentencepiece_directory(folder: Path) -> Path:
    made = folder_of(MODEL, folder)
    (made / "tokenizer.json").unlink()
    (made / "tokenizer.model").write_bytes(trained_sentencepiece())
    (made / "added_tokens.json").write_text('{"<a>": 420, "<b>": 421}')
    return made


FILES = [
    (gguf, "a.gguf"),
    (byte_level_gguf, "a.gguf"),
    (m_and_t, "a.m"),
    (m_and_t, "a.t"),
    (byte_level_m_and_t, "a.t"),
    (llama2c, "a.bin"),
    (llama2c, "tokenizer.bin"),
    (directory, "a/model.safetensors"),
    (directory, "a/config.json"),
    (directory, "a/tokenizer.json"),
    (byte_level_directory, "a/tokenizer.json"),
    (byte_level_directory, "a/tokenizer_config.json"),
    (byte_level_directory, "a/generation_config.json"),
    (sentencepiece_directory, "a/tokenizer.model"),
    (sentencepiece_directory, "a/added_tokens.json"),
]


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """A few bytes otherwise, most often at the beginning, where sizes and lengths stand."""
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        most = len(out) if chance.random() < 0.3 else min(len(out), 2048)
        place = chance.randrange(max(1, most))
        way = chance.randrange(5)
        if way == 0:
            out[place : place + 1] = bytes([chance.randrange(256)])
        elif way == 1:
            out[place : place + 4] = struct.pack("<Q", chance.choice(NUMBERS))[:4]
        elif way == 2:
            out[place : place + 8] = struct.pack("<Q", chance.choice(NUMBERS))
        elif way == 3:
            del out[place : place + chance.choice((1, 4, 4096))]
        else:
            out[place:place] = bytes(out[place : place + 16])
    return bytes(out)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """One value of a JSON file, at any depth, otherwise or gone."""
    stated = json.loads(content)
    part = stated
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            break
        key = chance.choice(keys)
        if isinstance(part[key], dict | list) and part[key] and chance.random() < 0.7:
            part = part[key]
            continue
        if chance.random() < 0.2:
            del part[key]
        else:
            part[key] = chance.choice(PARTS)
        break
    return json.dumps(stated).encode()


def read_and_write(source: Path, target: Path) -> None:
    """All that a conversion does with a model: its tensors, and its vocabulary in each form."""
    model = open_source(source)
    for name in tensor_shapes(model.shape):
        model.tensor(name)
    target.mkdir(exist_ok=True)
    for write in (
        lambda: write_tokenizer(model.tokenizer, target / "a.t"),
        lambda: write_vocabulary(model.tokenizer, target),
        lambda: write_gguf(model, target / "a.gguf", "f32", "a"),
    ):
        try:
            write()
        except HerdError:
            continue


@pytest.mark.parametrize(
    ("make", "name"), FILES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_changed_file_ends_in_a_model_or_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    source, path = make(tmp_path), tmp_path / name
    read_and_write(source, tmp_path / "out")  # it is whole before it is changed
    whole = path.read_bytes()
    chance = random.Random(f"{make.__name__} {name}")  # noqa: S311  # the same changes every time
    begin, refused = time.monotonic(), 0
    for number in range(400):
        if time.monotonic() - begin > BUDGET_S:
            break
        as_json = name.endswith(".json") and number % 4
        content = (changed_json if as_json else changed_bytes)(whole, chance)
        path.write_bytes(content)
        started = time.monotonic()
        said = ""
        try:
            read_and_write(source, tmp_path / "out")
        except HerdError as error:
            said = str(error)
        except Exception as error:
            (tmp_path / "change").write_bytes(content)
            raise AssertionError(f"change {number} ({tmp_path / 'change'}): {error!r}") from error
        refused += bool(said)
        assert "\n" not in said
        assert time.monotonic() - started < LONGEST_S
    assert refused
