"""Prompt tuning through a swarm, as the controller plans it: jobs, checkpoints, what is lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load, load_file, save

from core.errors import HerdError
from experiments.engines.common import model_spec
from experiments.finetune.data.prepare import Example, Prepared
from experiments.finetune.recipe import Recipe
from experiments.finetune.swarm import prompts as swarm_prompts
from experiments.finetune.swarm.jobs import (
    JOB_BYTES,
    fitting,
    require_fitting_batches,
    require_small,
    state_arguments,
)
from experiments.finetune.swarm.log import read_job
from experiments.finetune.swarm.prompts import SwarmTuning, tune_through_swarm, write_prompts
from experiments.finetune.training.checkpoints import Checkpoints
from models.tuned import CurvePoint, Split
from tests.doubles.vocabularies import byte_level

SPEC = model_spec("stories15m")
SPLIT = Split(train_documents=1, held_out_documents=1, train_tokens=1, held_out_tokens=1)
TRAINING = "a" * 64


class KilledError(Exception):
    """The controller's end in the middle of it."""


class DoubledClient:
    """Does what `petals-tune` does, with sums that are quick: each step adds to the prompts."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.jobs: list[dict[str, list[str]]] = []
        self._ends_at = ends_at

    def __str__(self) -> str:
        return "a swarm of 2 (pi1, pi2)"

    def run(self, arguments: Sequence[str]) -> bytes:
        given: dict[str, list[str]] = {}
        for option, value in zip(arguments[::2], arguments[1::2], strict=True):
            given.setdefault(option, []).append(value)
        self.jobs.append(given)
        if len(self.jobs) == self._ends_at:
            raise KilledError
        return "".join(json.dumps(one) + "\n" for one in self._said(given)).encode()

    def _said(self, given: dict[str, list[str]]) -> Iterator[dict[str, object]]:
        count, width = int(given["--prompts"][0]), SPEC.shape.dim
        state = base64.b64decode("".join(given.get("--state", [])))
        tensors = load(state) if state else {}
        prompts = tensors.get("prompts", torch.zeros(count, width))
        steps = int(tensors.get("steps", 0))
        batches = [json.loads(one) for one in given.get("--batch", [])]
        yield {"event": "swarm", "servers": []}
        for batch in batches:
            lengths = [len(ids) for ids, _ in batch["examples"]]
            prompts, steps = prompts * 0.9 + sum(lengths) * batch["rate"], steps + 1
            numbers = {"nats": 3.0, "counted": 2, "read": sum(lengths), "total_ms": 5.0}
            yield {"event": "step", **numbers}
        if batches:
            moments = {f"{name}.prompts": prompts / 2 for name in ("exp_avg", "exp_avg_sq")}
            kept = {"prompts": prompts, **moments, "steps": torch.tensor(steps)}
            yield {
                "event": "state",
                "steps": steps,
                "tensors": base64.b64encode(save(kept)).decode(),
            }
        for one in map(json.loads, given.get("--held-out", [])):
            nats = [2.0 if count else 4.0 for _ in one["examples"]]
            yield {"event": "held_out", "nats": nats, "counted": [1 for _ in nats]}


def example(number: int, length: int = 6) -> Example:
    ids = tuple((number * 7 + at) % 60 + 5 for at in range(length))
    return Example(f"d{number}", "text", ids, (False, *[True] * (length - 1)))


def prepared() -> Prepared:
    held_out = tuple(example(number) for number in range(30, 37))
    return Prepared(tuple(map(example, range(20))), held_out, SPLIT, "b" * 64)


def recipe(**changed: object) -> Recipe:
    values = {
        "name": "tales",
        "model": "stories15m",
        "method": "petals-ptune",
        "data": "x",
        "steps": 10,
        "batch": 3,
        "evaluate_every": 4,
        **changed,
    }
    return Recipe.model_validate(values)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vocabulary whose every piece is a letter, in place of a file of it."""
    monkeypatch.setattr(swarm_prompts, "read_vocabulary", lambda _: byte_level())
    return tmp_path


class ProgressHeard:
    """Hears of progress, and keeps the points of the curve."""

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []

    def begin(self, step: int, steps: int) -> None:
        self.began = step, steps

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        assert (step, loss, tokens_per_s) > (0, 0.0, 0.0)

    def evaluated(self, point: CurvePoint) -> None:
        self.points.append(point)

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def end(self) -> None:
        self.ended = True


def tune(
    folder: Path, client: DoubledClient, heard: list[str] | None = None, **changed: object
) -> SwarmTuning:
    @contextmanager
    def doubled(*_: object) -> Iterator[DoubledClient]:
        yield client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swarm_prompts, "swarm_for", doubled)
        say = (heard if heard is not None else []).append
        return tune_through_swarm(
            recipe(**changed),
            SPEC,
            folder,
            "c" * 64,
            prepared(),
            Checkpoints(folder / "checkpoints", TRAINING, say),
            TRAINING,
            folder,
            say=say,
            progress=ProgressHeard(),
        )


def test_a_training_is_jobs_up_to_each_evaluation_and_then_scored_before_and_after(
    base: Path,
) -> None:
    client = DoubledClient()
    done = tune(base, client)

    assert [len(job.get("--batch", [])) for job in client.jobs] == [0, 4, 4, 2, 0, 0]
    assert [job["--prompts"] for job in client.jobs] == [["0"], *[["8"]] * 3, ["0"], ["8"]]
    assert ["--state" in job for job in client.jobs] == [False, False, True, True, False, True]
    assert [point.step for point in done.curve] == [0, 4, 8, 10]
    assert [point.held_out_loss for point in done.curve] == [4.0, 2.0, 2.0, 2.0]
    assert [point.loss for point in done.curve] == [None, 1.5, 1.5, 1.5]
    assert (done.steps, done.device) == (10, "a swarm of 2 (pi1, pi2)")
    assert done.held_out.after == pytest.approx(done.held_out.before / 2)
    assert done.held_out.count == 7
    rates = [json.loads(one)["rate"] for job in client.jobs for one in job.get("--batch", [])]
    assert rates[0] == max(rates) == 2e-4
    assert rates[-1] < rates[1]


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5, 6])
def test_after_a_kill_the_newest_checkpoint_is_gone_on_from(base: Path, killed_at: int) -> None:
    whole = tune(base / "whole", DoubledClient())
    with pytest.raises(KilledError):
        tune(base, DoubledClient(ends_at=killed_at))
    client = DoubledClient()
    done = tune(base, client)

    assert sum(len(job.get("--batch", [])) for job in client.jobs) == 10 - 4 * min(
        max(0, killed_at - 2), 2
    ) - 2 * (killed_at > 4)
    assert done.tensors["prompts"].equal(whole.tensors["prompts"])
    assert done.curve == whole.curve


def test_a_torn_checkpoint_is_named_and_passed_over(base: Path) -> None:
    whole = tune(base, DoubledClient())
    newest = base / "checkpoints" / "step-00000010" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    client, heard = DoubledClient(), list[str]()

    done = tune(base, client, heard)

    assert "step-00000010 is passed over: tensors.safetensors is not as it was written" in heard[0]
    assert sum(len(job.get("--batch", [])) for job in client.jobs) == 2
    assert done.tensors["prompts"].equal(whole.tensors["prompts"])


def test_what_was_trained_is_written_as_the_client_reads_it(base: Path) -> None:
    write_prompts(tune(base, DoubledClient()), recipe(), base)

    assert load_file(base / "prompts.safetensors")["prompts"].shape == (8, SPEC.shape.dim)
    assert json.loads((base / "adapter.json").read_text()) == {
        "method": "ptune",
        "base": "stories15m",
        "prompts": 8,
        "tensors": {"prompts": [8, SPEC.shape.dim]},
    }


def test_steps_that_do_not_fit_into_one_job_make_more(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = sum(map(len, state_arguments(b"0" * 4 * 3 * 8 * SPEC.shape.dim)))
    monkeypatch.setattr("experiments.finetune.swarm.jobs.JOB_BYTES", state + 1200)
    client = DoubledClient()
    done = tune(base, client)

    counts = [len(job["--batch"]) for job in client.jobs if "--batch" in job]
    assert sum(counts) == 10
    assert counts == [4, 2, 2, 2]  # the state takes the room of two
    assert done.curve[-1].step == 10


def test_prompts_that_do_not_fit_on_a_command_line_are_refused_with_what_would() -> None:
    with pytest.raises(HerdError, match="take the method petals-ptune"):
        require_small("petals-deep-ptune", 1, 4096, 32, "large")
    with pytest.raises(HerdError, match="at most 18 `prompts`"):
        require_small("petals-ptune", 19, 4096, 32, "large")
    require_small("petals-ptune", 18, 4096, 32, "large")
    whole = state_arguments(b"0" * 900_000)
    assert sum(len(word) + 9 for word in whole) < JOB_BYTES - 400_000 - 131_071


def test_batches_that_no_node_takes_are_refused_before_training() -> None:
    short, long = (example(number, length) for number, length in ((1, 6), (2, 30_000)))
    require_fitting_batches([short] * 40, 32)
    require_fitting_batches([long, short], 1)
    with pytest.raises(HerdError, match="smaller `batch` or `sequence`"):
        require_fitting_batches([short, long, short, long], 2)


def test_a_batch_that_no_node_takes_is_refused_with_what_is_to_be_smaller() -> None:
    assert fitting(["a" * 100] * 5, 400) == 3
    with pytest.raises(HerdError, match="smaller `batch` or `sequence`"):
        fitting(["a" * 130_000], 1 << 20)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (b"", "it ends before its work"),
        (b'{"event": "state", "steps": 3, "tensors": ""}\n', "it ends before its work"),
        (b'{"event": "step", "nats": "x"}\n', "is torn: nats"),
        (b'{"event": "state", "steps": 4, "tensors": "?"}\n', "is torn"),
        (b'{"event": "state", "steps": 4, "tens', "is torn"),
    ],
)
def test_a_log_that_is_not_whole_is_no_step(out: bytes, said: str) -> None:
    with pytest.raises(HerdError, match=said):
        read_job(out, 4, 0)
    whole = b'{"event": "state", "steps": 4, "tensors": "AAAA"}\n'
    assert read_job(whole, 4, 0).state == bytes(3)
