"""A training that is killed ends in the same bytes as one that is left alone."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from core.digest import sha256_of
from core.errors import HerdError

pytest.importorskip("torch")
pytest.importorskip("peft")

from experiments.finetune.training.progress import TrainingLines
from experiments.finetune.training.trainer import Training
from tests.doubles.tiny_training import (
    CPU,
    examples_of,
    recipe_of,
    train,
    train_and_die,
    train_on,
    write_base,
)

PROJECT = Path(__file__).resolve().parents[2]
KILLS = 5
LONGEST_S = 60.0
METHODS = ("lora", "full")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that have loaded PyTorch already, so that a kill comes while they train."""
    os.environ["PYTHONPATH"] = str(PROJECT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "peft", "transformers.models.llama.modeling_llama", "tests.doubles.tiny_training"]
    )
    return context


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return {
        method: train(base, tmp_path_factory.mktemp(method), recipe_of(method))[0]
        for method in METHODS
    }


def begin(
    processes: ForkServerContext, target: Callable[..., None], *words: object
) -> ForkServerProcess:
    process = processes.Process(target=target, args=words)
    process.start()
    return process


def test_two_trainings_give_the_same_bytes(
    base: Path, tmp_path: Path, undisturbed: dict[str, dict[str, str]]
) -> None:
    assert train(base, tmp_path, recipe_of())[0] == undisturbed["lora"]


@pytest.mark.parametrize("method", METHODS)
def test_kills_at_random_moments_change_no_byte(
    processes: ForkServerContext,
    base: Path,
    tmp_path: Path,
    undisturbed: dict[str, dict[str, str]],
    method: str,
) -> None:
    moments = random.Random(18)  # noqa: S311 - moments, no secret
    killed = 0
    for _ in range(KILLS):
        (tmp_path / "begun").unlink(missing_ok=True)
        process = begin(processes, train_on, base, tmp_path, recipe_of(method))
        ends_s = time.monotonic() + LONGEST_S
        while not (tmp_path / "begun").exists() and time.monotonic() < ends_s:
            time.sleep(0.002)
        time.sleep(moments.uniform(0.05, 0.6))
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join(LONGEST_S)
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 1
    assert train(base, tmp_path, recipe_of(method))[0] == undisturbed[method]


@pytest.mark.parametrize("at", [1, 9, 15, 17, 24])
def test_a_kill_while_the_disk_is_written_changes_no_byte(
    processes: ForkServerContext,
    base: Path,
    tmp_path: Path,
    undisturbed: dict[str, dict[str, str]],
    at: int,
) -> None:
    process = begin(processes, train_and_die, base, tmp_path / "model", recipe_of(), at)
    process.join(LONGEST_S)
    assert process.exitcode == -signal.SIGKILL
    found, said = train(base, tmp_path / "model", recipe_of())
    assert found == undisturbed["lora"]
    assert said == []
    assert {path.name for path in (tmp_path / "model" / "checkpoints").iterdir()} == {
        "step-00000020",
        "step-00000024",
    }


class Interrupting(TrainingLines):
    """Sends Ctrl-C while step 8 is shown."""

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_after_the_step_and_the_rest_gives_the_same_bytes(
    base: Path, tmp_path: Path, undisturbed: dict[str, dict[str, str]]
) -> None:
    with pytest.raises(HerdError, match="Stopped after step 7 of 24") as error:
        train(base, tmp_path, recipe_of(), Interrupting(Console(file=sys.stderr)))
    assert "finetune tiny.yml" in str(error.value)
    names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert sorted(names) == ["step-00000005", "step-00000007"]
    assert train(base, tmp_path, recipe_of())[0] == undisturbed["lora"]


def test_a_full_disk_costs_no_checkpoint(
    base: Path,
    tmp_path: Path,
    undisturbed: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("experiments.finetune.training.checkpoints.write_file", full)
        with pytest.raises(HerdError, match="disk of this machine is full"):
            train(base, tmp_path, recipe_of())
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert train(base, tmp_path, recipe_of())[0] == undisturbed["lora"]


def test_padding_changes_no_loss(base: Path) -> None:
    short, long = examples_of(0, 1), examples_of(8, 1)
    training = Training(recipe_of(), base, short, long, CPU)
    alone = [training._loss(one) for one in (short, long)]
    together, counted = training._loss((*short, *long))
    assert counted == sum(number for _, number in alone)
    apart = sum(float(loss.detach()) for loss, _ in alone)
    assert float(together.detach()) == pytest.approx(apart, rel=1e-5)


def test_only_marked_tokens_count(base: Path) -> None:
    (text,) = examples_of(0, 1)
    training = Training(recipe_of(), base, [text], [text], CPU)
    unmarked = (True, *[False] * (len(text.ids) - 2), True)
    _, counted = training._loss([replace(text, trained=unmarked)])
    assert counted == 1


@pytest.fixture(scope="module")
def stopped(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two checkpoints, of which the newest is of the last step."""
    folder = tmp_path_factory.mktemp("stopped")
    train(base, folder, recipe_of())
    shutil.rmtree(folder / "adapter")
    return folder


def newest(folder: Path) -> Path:
    return folder / "checkpoints" / "step-00000024"


def truncate(folder: Path) -> None:
    path = newest(folder) / "tensors.safetensors"
    os.truncate(path, path.stat().st_size // 2)


def flip(folder: Path) -> None:
    path = newest(folder) / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def swell(folder: Path) -> None:
    os.truncate(newest(folder) / "tensors.safetensors", 1 << 34)


def swell_text(folder: Path) -> None:
    os.truncate(newest(folder) / "state.json", 1 << 34)


def spoil(folder: Path) -> None:
    """Values that are no numbers, under hashes that are right."""
    tensors = newest(folder) / "tensors.safetensors"
    values = load_file(tensors)
    first = next(name for name in values if name.startswith("trained."))
    values[first][:] = float("nan")
    save_file(values, tensors)
    seal = newest(folder) / "seal.json"
    told = json.loads(seal.read_text()) | {"tensors": sha256_of(tensors)}
    seal.write_text(json.dumps(told))


def lose_seal(folder: Path) -> None:
    (newest(folder) / "seal.json").unlink()


def link(folder: Path) -> None:
    newest(folder).rename(folder / "elsewhere")
    newest(folder).symlink_to(folder / "elsewhere")


def rename(folder: Path) -> None:
    newest(folder).rename(newest(folder).with_name("step-00000023"))


def empty(folder: Path) -> None:
    shutil.rmtree(newest(folder))
    newest(folder).write_text("no folder")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "tensors.safetensors is not as it was written": truncate,
    "its hash is another": flip,
    "at most": swell,
    "are read": swell_text,
    "has values that are not numbers": spoil,
    "No such file": lose_seal,
    "a link or no folder": link,
    "it is of step 24": rename,
    "it is a link or no folder": empty,
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    base: Path, stopped: Path, tmp_path: Path, undisturbed: dict[str, dict[str, str]], reason: str
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "model")
    DAMAGE[reason](folder)
    found, said = train(base, folder, recipe_of())
    assert found == undisturbed["lora"]
    assert len(said) == 1
    assert "is passed over" in said[0]
    assert reason in said[0]


def test_checkpoints_of_another_method_or_rank_are_named(
    base: Path, stopped: Path, tmp_path: Path, undisturbed: dict[str, dict[str, str]]
) -> None:
    """Even where they say that they are this training's."""
    folder = shutil.copytree(stopped, tmp_path / "model")
    found, said = train(base, folder, recipe_of("full"))
    assert found == undisturbed["full"]
    assert len(said) == 2
    assert "has other tensors" in said[0]
    folder = shutil.copytree(stopped, tmp_path / "rank")
    _, said = train(base, folder, recipe_of().model_copy(update={"rank": 2}))
    assert "but this training has" in said[0]
