"""Trained prompts in a cell of Petals: which a cell may name, and how its client gets them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.attempt import load_attempt
from collect.labels import cell_label
from collect.parsers.distributed_llama import PARSER as DLLAMA
from collect.parsers.petals import PARSER as PETALS
from collect.tables import build_tables
from collect.workloads import Benchmark, Greedy, Perplexity
from experiments.engines import ENGINES, petals_prompts
from experiments.engines.base import Cell
from experiments.engines.common import model_spec
from experiments.planning.matrix import Matrix
from experiments.planning.plan import make_plan
from models import tuned
from models.tuned import Change, Parentage, Split, TunedRecord
from tests.doubles.scripted_run import matrix, run, world
from tests.unit.test_petals import cell, cluster

ENGINE = ENGINES["petals"]
NAME = "stories15m-tales"
CONTENT = bytes(range(256)) * 800


def record(content: bytes = CONTENT, **changed: object) -> TunedRecord:
    sha256 = hashlib.sha256(content).hexdigest()
    parentage = {
        "base": "stories15m",
        "base_sha256": "0" * 64,
        "data_sha256": "1" * 64,
        "recipe_sha256": "2" * 64,
        "method": "petals-ptune",
        "steps": 4,
        "toolkit": "1",
        **changed,
    }
    return TunedRecord(
        name=NAME,
        about="prompts",
        licence="MIT",
        parentage=Parentage.model_validate(parentage),
        shape=model_spec("stories15m").shape,
        split=Split(train_documents=2, held_out_documents=1, train_tokens=20, held_out_tokens=9),
        files={},
        adapter={"prompts.safetensors": sha256},
        curve=(),
        held_out_bits_per_byte=Change(before=1.0, after=0.9, count=1),
        prompts=8,
        seconds=1.0,
        device="2 nodes",
        finished_at=1.0,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a tuned model is."""
    monkeypatch.setattr(tuned, "TUNED_FOLDER", tmp_path)
    petals_prompts._read.cache_clear()
    yield keep(tmp_path, record())
    petals_prompts._read.cache_clear()


def keep(tmp_path: Path, told: TunedRecord, content: bytes = CONTENT) -> Path:
    made = tmp_path / NAME
    (made / "adapter").mkdir(parents=True, exist_ok=True)
    (made / "adapter" / "prompts.safetensors").write_bytes(content)
    (made / "tuned.json").write_text(told.model_dump_json())
    return made


def told(of: Cell) -> str:
    return str(ENGINE.check(of, cluster()))


def test_the_client_gets_the_files_bytes_in_pieces_that_a_node_takes(folder: Path) -> None:
    assert folder.is_dir()
    asked = cell(adapter=NAME)

    assert ENGINE.check(asked, cluster()) is None
    deployment = ENGINE.deploy(asked, cluster())
    argv = deployment.root.argv
    pieces = [argv[at + 1] for at, word in enumerate(argv) if word == "--adapter"]
    assert base64.b64decode("".join(pieces)) == CONTENT
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 131_071
    assert all("--adapter" not in worker.argv for worker in deployment.workers)


def test_servers_have_room_for_the_prompts_before_the_text(folder: Path) -> None:
    assert folder.is_dir()
    rooms = [
        int(worker.argv[worker.argv.index("--tokens") + 1])
        for one in (cell(), cell(adapter=NAME))
        for worker in ENGINE.deploy(one, cluster()).workers
    ]
    assert rooms == [48, 48, 56, 56]
    full = Benchmark(prompt_tokens=16, generate_tokens=240)
    assert ENGINE.check(cell(full), cluster()) is None
    assert "has a context of 256 tokens here, but 264" in told(cell(full, adapter=NAME))
    text = Perplexity(text="experiments/texts/alice.txt", characters=100)
    assert ENGINE.tokens(cell(text, adapter=NAME)) == 256


@pytest.mark.parametrize(
    ("changed", "asked", "reason"),
    [
        ({}, {"adapter": "other"}, "no prompts other were trained on this machine"),
        ({}, {"adapter": "../x"}, "'../x' cannot be a name of prompts"),
        ({"method": "lora"}, {}, "was tuned by lora, so it is a whole model"),
        ({"base": "smollm2-135m"}, {}, "were trained on smollm2-135m, not on stories15m+kv16"),
        ({"base": "gone"}, {}, "The catalogue has no model `gone`"),
    ],
)
def test_what_is_no_prompts_of_the_model_is_refused_by_name(
    folder: Path, changed: dict[str, object], asked: dict[str, object], reason: str
) -> None:
    keep(folder.parent, record(**changed))  # type: ignore[arg-type]
    assert reason in told(cell(**{"adapter": NAME, **asked}))


def test_prompts_that_were_damaged_are_refused(folder: Path) -> None:
    (folder / "adapter" / "prompts.safetensors").write_bytes(CONTENT[:-1])
    assert "prompts.safetensors is not as it was written" in told(cell(adapter=NAME))


def test_texts_are_not_compared_with_a_reference_that_has_no_prompts(folder: Path) -> None:
    assert folder.is_dir()
    greedy = Greedy(prompts=("Once",), positions=8, text="Once upon")
    assert "does not compute with trained prompts" in told(cell(greedy, adapter=NAME))


def test_an_arm_with_prompts_is_a_cell_of_its_own_and_the_others_keep_their_ids(
    folder: Path,
) -> None:
    axes = {"engine": ("petals",), "model": ("stories15m",), "nodes": (2,), "weights": ("f32",)}
    plain = Matrix(title="p", workload=Benchmark(), axes=axes, file="p.yml")
    both = plain.model_copy(update={"axes": {**axes, "adapter": ("none", NAME)}})
    (before,) = make_plan(plain, cluster()).cells
    without, with_it = make_plan(both, cluster()).cells

    assert "adapter" not in before.params
    assert before.cell_id == without.cell_id
    assert with_it.identity["adapter"] == hashlib.sha256(CONTENT).hexdigest()
    assert cell_label(without.params).endswith("without an adapter")
    assert cell_label(with_it.params).endswith(f"with the adapter {NAME}")
    petals_prompts._read.cache_clear()
    keep(folder.parent, record(b"others"), b"others")
    assert make_plan(both, cluster()).cells[1].cell_id != with_it.cell_id


# -- what the client read


def test_a_client_says_its_prompts_before_all_else() -> None:
    told = json.dumps({"event": "adapter", "sha256": "ab" * 32, "prompts": 8})
    assert PETALS.adapter_read("root", f"{told}\n".encode()) == "ab" * 32
    step = json.dumps({"event": "step", "text": told})
    assert PETALS.adapter_read("root", f"{step}\n{told}\n".encode()) is None


@pytest.mark.parametrize(
    ("planned", "read", "cause"),
    [
        ("ab" * 32, "ab" * 32, None),
        ("ab" * 32, None, "read none, but the cell has the adapter abababababab…"),
        ("ab" * 32, "cd" * 32, "read the adapter cdcdcdcdcdcd…, but the cell has the adapter abab"),
        (None, "ab" * 32, "read the adapter abababababab…, but the cell has none"),
    ],
)
def test_an_attempt_keeps_the_hash_that_its_client_says_and_fails_for_another(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    planned: str | None,
    read: str | None,
    cause: str | None,
) -> None:
    scripted = type(ENGINES["distributed-llama"])
    identity, added = scripted.identity, {"adapter": planned} if planned else {}
    both = lambda self, cell, cluster: {**identity(self, cell, cluster), **added}  # noqa: E731
    monkeypatch.setattr(scripted, "identity", both)
    monkeypatch.setattr(type(DLLAMA), "adapter_read", lambda self, role, out: read)
    asked = matrix(axes={**matrix().axes, "nodes": (1,)}, repeats=1, warmup=0, max_attempts=1)

    folder = run(tmp_path, world(tmp_path), 1, asked=asked).folder

    (attempt,) = map(load_attempt, (folder / "attempts").iterdir())
    assert attempt.adapter_sha256 == read
    assert attempt.outcome == ("failed" if cause else "done")
    assert cause is None or cause in str(attempt.cause)
    attempts = build_tables(folder).attempts
    assert ("adapter_sha256" in attempts) == (read is not None)
    assert read is None or list(attempts["adapter_sha256"]) == [read]
