"""`fab finetune` from the recipe to the record: killed, interrupted, refused, and done again."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from invoke import Exit

from core.errors import HerdError

pytest.importorskip("torch")
pytest.importorskip("peft")

import fabfile
from experiments.finetune import run
from experiments.finetune.training.adapter import hashes_of
from models.build import ensure_artifact
from models.catalogue import load_catalogue
from models.tuned import TunedRecord
from tests.doubles.tiny_finetune import (
    MODEL,
    NAME,
    bytes_of,
    figures_of,
    finetune_elsewhere,
    finetune_tiny,
    tales,
)
from tests.tuned_models import tuned_here

PROJECT = Path(__file__).resolve().parents[2]
KILLS = 5
LONGEST_S = 120.0
MOMENTS = random.Random(18)  # noqa: S311 - moments, no secret


@dataclass(frozen=True)
class Undisturbed:
    """A fine-tuning that nobody touched.

    Attributes:
        folder: of the recipe, with `tuned/`.
        record: what it ended in.
        said: while it went.
        seconds: that it took.
        base: hashes of the base's files before it.
        base_folder: these files.
    """

    folder: Path
    record: TunedRecord
    said: list[str]
    seconds: float
    base: dict[str, str]
    base_folder: Path

    @property
    def own(self) -> Path:
        """The model's folder."""
        return self.folder / "tuned" / NAME


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMA_HERD_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def undisturbed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    weights = ensure_artifact(load_catalogue().get(MODEL), "huggingface", "f32").file("model")
    base = hashes_of(weights.path.parent)
    folder, said = tmp_path_factory.mktemp("undisturbed"), []
    began_s = time.monotonic()
    record = finetune_tiny(folder, said.append)
    seconds = time.monotonic() - began_s
    return Undisturbed(folder, record, said, seconds, base, weights.path.parent)


@pytest.fixture
def finished(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(undisturbed.folder, tmp_path / "copy")


@pytest.fixture
def trained(finished: Path) -> Path:
    """A copy in which nothing is done but the steps."""
    own = finished / "tuned" / NAME
    (own / "tuned.json").unlink()
    for part in ("adapter", "merged"):
        shutil.rmtree(own / part)
    return finished


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that have loaded PyTorch already, so that a kill comes while they work."""
    os.environ["PYTHONPATH"] = str(PROJECT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "peft", "transformers.models.llama.modeling_llama", "tests.doubles.tiny_finetune"]
    )
    return context


def test_the_tuned_model_is_a_model_and_the_base_is_as_it_was(undisturbed: Undisturbed) -> None:
    record = undisturbed.record
    losses = [point.loss for point in record.curve if point.loss is not None]
    assert losses[-1] < 0.8 * losses[0]
    assert record.held_out_bits_per_byte.high is not None
    assert record.held_out_bits_per_byte.high < 0
    assert record.sameness is not None
    assert record.sameness.faults == ()
    assert record.sameness.merge_change < 1e-4 < record.sameness.base_change
    assert hashes_of(undisturbed.base_folder) == undisturbed.base
    with tuned_here(undisturbed.folder / "tuned"):
        spec = load_catalogue().get(NAME)
    assert spec.folder == undisturbed.own / "merged"
    assert record.parentage.base_sha256 == undisturbed.base["model.safetensors"]


WRITTEN = (
    ".tmp-data/held_out.jsonl",
    f"{NAME}/recipe.yml",
    ".tmp-started.json",
    ".tmp-step-00000006/seal.json",
    ".tmp-adapter/adapter_config.json",
    ".tmp-merged/model.safetensors",
    "-q4_0.gguf.tmp",
    ".tmp-tuned.json",
)
"""What is written, in this order."""


def test_a_kill_while_anything_is_written_changes_no_byte(
    processes: ForkServerContext, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    place, cache = tmp_path / "place", tmp_path / "cache"
    place.mkdir()
    for at in WRITTEN:
        process = processes.Process(target=finetune_elsewhere, args=(place, cache, at))
        process.start()
        process.join(LONGEST_S)
        assert process.exitcode == -signal.SIGKILL, at
        assert not (place / "tuned" / NAME / "tuned.json").exists()
    said: list[str] = []
    record = finetune_tiny(place, said.append)
    assert bytes_of(place) == bytes_of(undisturbed.folder)
    assert figures_of(record) == figures_of(undisturbed.record)
    assert not [line for line in said if "passed over" in line or "written again" in line]
    assert not list((place / "tuned" / NAME).glob(".tmp-*"))


def test_five_kills_at_random_moments_change_no_byte(
    processes: ForkServerContext, undisturbed: Undisturbed, cache: Path, tmp_path: Path
) -> None:
    killed = 0
    for _ in range(KILLS):
        (tmp_path / "begun").unlink(missing_ok=True)
        process = processes.Process(target=finetune_elsewhere, args=(tmp_path, cache))
        process.start()
        ends_s = time.monotonic() + LONGEST_S
        while not (tmp_path / "begun").exists() and time.monotonic() < ends_s:
            time.sleep(0.002)
        process.join(MOMENTS.uniform(0.1, 0.6) * undisturbed.seconds)
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join(LONGEST_S)
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 1
    assert figures_of(finetune_tiny(tmp_path)) == figures_of(undisturbed.record)
    assert bytes_of(tmp_path) == bytes_of(undisturbed.folder)


@pytest.mark.parametrize("at", ["Data: ", "merging", "llama.cpp's file"])
def test_ctrl_c_is_one_sentence_and_the_same_command_continues(
    undisturbed: Undisturbed, trained: Path, at: str
) -> None:
    def interrupt(line: str) -> None:
        if line.startswith(at):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(HerdError) as stopped:
        finetune_tiny(trained, interrupt)
    assert str(stopped.value).startswith("Stopped. What was finished is kept: `")
    assert "finetune " in str(stopped.value)
    assert figures_of(finetune_tiny(trained)) == figures_of(undisturbed.record)
    assert bytes_of(trained) == bytes_of(undisturbed.folder)


@pytest.mark.parametrize(
    "at",
    [
        ".tmp-data/train.jsonl",
        ".tmp-step-00000003/tensors.safetensors",
        ".tmp-adapter/adapter_config.json",
        ".tmp-merged/model.safetensors",
        ".tmp-tuned.json",
    ],
)
def test_a_full_disk_is_named_and_costs_nothing_that_was_finished(
    undisturbed: Undisturbed, trained: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    durable = os.fsync
    own = trained / "tuned" / NAME
    for part in ("checkpoints", "data"):
        if "step" in at or "data" in at:
            shutil.rmtree(own / part)

    def full(descriptor: int) -> None:
        if at in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        durable(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(HerdError, match="disk of this machine is full") as refused:
            finetune_tiny(trained)
    assert str(own) in str(refused.value)
    assert figures_of(finetune_tiny(trained)) == figures_of(undisturbed.record)
    assert bytes_of(trained) == bytes_of(undisturbed.folder)


def times_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_what_is_finished_is_not_done_again(undisturbed: Undisturbed, finished: Path) -> None:
    own = finished / "tuned" / NAME
    before, said = times_of(own), []
    assert finetune_tiny(finished, said.append) == undisturbed.record
    assert said == [f"{NAME} is finished: nothing was to be done."]
    assert times_of(own) == before


@pytest.mark.parametrize("name", ["merged/model.safetensors", "merged/tokenizer.json", "adapter"])
def test_a_file_of_a_finished_model_that_changed_is_named(finished: Path, name: str) -> None:
    path = finished / "tuned" / NAME / name
    if path.is_dir():
        path = path / "adapter_model.safetensors"
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HerdError) as refused:
        finetune_tiny(finished)
    assert f"is finished, but {path} is missing or not as it was written." in str(refused.value)
    assert "--new`, which moves what is there aside." in str(refused.value)


def faulty(record: TunedRecord) -> TunedRecord:
    assert record.sameness is not None
    wrong = record.sameness.model_copy(update={"faults": ("A fault.",)})
    return record.model_copy(update={"sameness": wrong})


def test_a_model_with_a_fault_is_proved_again(undisturbed: Undisturbed, finished: Path) -> None:
    """What was wrong, such as an adapter that is another one, may be mended meanwhile."""
    own = finished / "tuned" / NAME
    (own / "tuned.json").write_text(faulty(undisturbed.record).model_dump_json())
    path = own / "adapter" / "adapter_model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    said: list[str] = []
    assert figures_of(finetune_tiny(finished, said.append)) == figures_of(undisturbed.record)
    assert f"{own / 'adapter'} is not what the training ended in: it is written again." in said
    assert bytes_of(finished) == bytes_of(undisturbed.folder)


def test_new_moves_everything_aside_and_begins_again(
    undisturbed: Undisturbed, finished: Path
) -> None:
    kept, said = times_of(finished / "tuned" / NAME), []
    record = finetune_tiny(finished, said.append, new=True, steps=1)
    assert record.parentage.steps == 1
    (aside,) = (finished / "tuned" / ".aside").iterdir()
    assert said[0] == f"What was in {finished / 'tuned' / NAME} is kept in {aside}."
    assert len(times_of(aside)) == len(kept)
    assert hashes_of(aside / "adapter") == undisturbed.record.adapter


def test_a_training_continues_with_nothing_but_its_recipe(finished: Path) -> None:
    before = times_of(finished / "tuned" / NAME)
    with pytest.raises(HerdError) as refused:
        finetune_tiny(finished, steps=9, learning_rate=0.02, rank=4)
    told = str(refused.value)
    assert f"The recipe changed since {NAME} was begun: " in told
    assert "`steps` was `8` and is `9`" in told
    assert "`learning_rate` was `0.01` and is `0.02`" in told
    assert "`rank` was `8` and is `4`" in told
    assert times_of(finished / "tuned" / NAME) == before


def test_a_training_continues_with_nothing_but_its_data(trained: Path) -> None:
    before = times_of(trained / "tuned" / NAME)
    (trained / "tales.txt").write_text("\n\n\n".join([*tales(), "another tale of a fox"]))
    with pytest.raises(HerdError, match=rf"The data of {NAME} is not what .*: tales.txt changed"):
        finetune_tiny(trained)
    assert times_of(trained / "tuned" / NAME) == before


@pytest.mark.parametrize("threads", [0, -1, 2**40, "1"])
def test_a_number_of_threads_that_cannot_be_is_damage(trained: Path, threads: object) -> None:
    path = trained / "tuned" / NAME / "started.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": threads}))
    with pytest.raises(HerdError, match=r"started.json is damaged .*threads: .*--new"):
        finetune_tiny(trained)


def test_a_training_continues_with_nothing_but_its_base(trained: Path) -> None:
    path = trained / "tuned" / NAME / "started.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_sha256": "a" * 64}))
    with pytest.raises(HerdError, match=r"The base synthetic:.* its hash was aaaaaaaaaaaaaaaa… an"):
        finetune_tiny(trained)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("stories15m", "the catalogue has the model stories15m already"),
        ("synthetic-tiny", "the catalogue has the model synthetic:tiny already"),
        ("synthetic-tales", "the files of synthetic models are called so"),
        ("tales-kv4", "the files of models with added heads end so"),
    ],
)
def test_a_name_that_the_catalogue_cannot_give_is_refused_before_a_step(
    tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(HerdError, match=rf"tiny.yml, line 1: `name` is {name}\. .*{why}"):
        finetune_tiny(tmp_path, name=name)
    assert not (tmp_path / "tuned").exists()


def test_a_second_command_waits_for_the_first(undisturbed: Undisturbed, finished: Path) -> None:
    lock = FileLock(finished / "tuned" / ".locks" / NAME / ".lock")
    said: list[str] = []

    def end_the_first(line: str) -> None:
        said.append(line)
        lock.release()

    with lock:
        assert finetune_tiny(finished, end_the_first) == undisturbed.record
    assert said[0].startswith("waiting for another command that is using ")


def test_a_model_behind_a_link_is_refused_before_a_step(tmp_path: Path) -> None:
    """The catalogue would not have it."""
    (tmp_path / "tuned").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tuned" / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        HerdError, match=rf"{NAME} is a link\. A fine-tuned model is read only from a"
    ):
        finetune_tiny(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_refuses_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = finished / "tuned"
    make = Path.mkdir

    def refuse(path: Path, *how: Any, **more: Any) -> None:  # noqa: ANN401 - of pathlib
        if path.is_relative_to(tuned):
            raise OSError(errno.EROFS, "Read-only file system")
        make(path, *how, **more)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(
        HerdError, match=r"^Training tiny-tales in .*: Read-only file system\. "
    ) as refused:
        finetune_tiny(finished)
    assert "LLAMA_HERD_CACHE" not in str(refused.value)


def test_the_verb_says_what_came_of_it_and_fails_where_forms_differ(
    undisturbed: Undisturbed,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "finetune", partial(run.finetune, tuned=finished / "tuned"))
    fabfile.finetune.body(None, str(finished / "tiny.yml"))
    told = capsys.readouterr().out
    assert f"{NAME} is finished: nothing was to be done." in told
    assert "All forms are the same model: base + adapter, merged, and 7 files of engines." in told
    assert f"Write `{NAME}` in the axis `model` of any matrix." in told
    monkeypatch.setattr(run, "finetune", lambda *_recipe, **_how: faulty(undisturbed.record))
    with pytest.raises(Exit) as ended:
        fabfile.finetune.body(None, str(finished / "tiny.yml"))
    assert ended.value.code == 1
    assert "so the catalogue does not have it:\n- A fault." in capsys.readouterr().out
