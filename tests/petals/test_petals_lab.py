"""Petals as the runner uses it: what it says, what a dead server does, and that it never hangs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from collect.account import Account
from collect.attempt import load_attempt
from collect.tables import tables_of
from collect.workloads import Benchmark, Greedy, Perplexity
from core.paths import PROJECT_FOLDER
from experiments.engines.common import encoder, model_spec
from experiments.planning.matrix import Matrix
from models import tuned
from models.fetch import open_checkpoint
from models.reference import Reference
from models.tuned import TunedRecord
from tests.doubles.lab_run import run
from tests.lab.virtual_lab import VirtualLab
from tests.petals.conftest import FIRST, MODEL, SECOND

DEADLINE_S = 300.0
FOLDER = f"/opt/llama-herd/models/{MODEL}-f32"
PROGRAMS = "/opt/llama-herd/engines/petals/bin"
ENVIRONMENTS = "/opt/llama-herd/engines/petals/environments"
PROMPTS = ("Once upon a time", "One day, a big bear")
TEXT = "Once upon a time, there was a little girl named Lily."
TEXT_FILE = "experiments/texts/everyday.txt"
NAME = "stories15m-everyday"
KILLER = """
cd /var/lib/llama-herd/attempts
until grep -qs rpc_inference.open herd-*-a1-worker.err; do sleep 0.1; done
sleep 1
systemctl kill --signal=KILL 'herd-*-a1-worker.service'
"""
SIXTY = """
import gc, sys
sys.path.insert(0, "{programs}")
from herd_petals.ending import end
from herd_petals.swarm import Swarm
swarm = Swarm("{folder}", "herd", "127.0.0.1:9995", 1)
swarm.await_whole()
for number in range(60):
    with swarm.session(16):
        sent = [1]
        for _ in range(8):
            sent = [swarm.step(sent, lambda logits: int(logits.argmax())).token]
    gc.collect()
    print(number, flush=True)
end(0)
"""


def write_recipe(folder: Path) -> Path:
    """A recipe of some seconds on paragraphs about everyday things."""
    recipe = folder / "prompts.yml"
    recipe.write_text(
        f"name: {NAME}\nmodel: {MODEL}\nmethod: petals-deep-ptune\n"
        f"data: {PROJECT_FOLDER / TEXT_FILE}\nheld_out: 0.2\nsteps: 8\nbatch: 4\nprompts: 4\n"
        "sequence: 96\nlearning_rate: 0.03\nevaluate_every: 4\n"
    )
    return recipe


def study(workload: Benchmark | Greedy | Perplexity, **settings: object) -> Matrix:
    axes = {"engine": ("petals",), "model": (MODEL,), "nodes": (2,), "weights": ("f32",)}
    defaults = {"repeats": 1, "warmup": 0, "max_attempts": 2, "deadline_s": DEADLINE_S}
    return Matrix(
        title="Petals",
        workload=workload,
        axes={**axes, "threads": (1,)},
        file="petals.yml",
        **{**defaults, **settings},
    )


def test_a_python_is_brought_along_only_where_the_system_has_none(petals_lab: VirtualLab) -> None:
    own, brought = (
        json.loads(petals_lab.on(node, "cat /opt/llama-herd/engines/petals/install.json"))
        for node in (FIRST, SECOND)
    )
    assert (own["installed"], own["python"]) == (True, None)
    assert brought["installed"] is True
    assert brought["python"].startswith("python-amd64-")
    assert petals_lab.on(SECOND, "ls /usr/bin/python3.11 2>&1 || true").count("No such file") == 1
    ask = "import sys; print(*sys.version_info[:2], sys.base_prefix)"
    told = petals_lab.on(SECOND, f'$(readlink -f {PROGRAMS})/../venv/bin/python -I -c "{ask}"')
    assert told.split() == ["3", "11", f"{ENVIRONMENTS}/{brought['python']}"]


def test_two_servers_say_what_the_reference_says(petals_lab: VirtualLab, tmp_path: Path) -> None:
    workload = Greedy(prompts=PROMPTS, positions=24, text=TEXT)
    result = run(petals_lab.inventory, tmp_path, study(workload, repeats=3))

    assert result.counts["done"] == 3
    tables = tables_of(Account.read(result.folder))
    splitter = encoder(MODEL)
    reference = Reference(open_checkpoint(model_spec(MODEL)))
    expected = reference.generate([splitter.encode(prompt) for prompt in PROMPTS], 24)
    rows = tables.texts.merge(tables.trials[["trial_id", "repeat"]], on="trial_id")
    for repeat, continuation in enumerate(expected, 1):
        said = rows[rows["repeat"] == repeat]
        assert "".join(said["text"]) == "".join(map(splitter.piece, continuation.ids))
        scores = said["log_probability"].tolist()
        assert scores == pytest.approx(continuation.log_probabilities, abs=1e-3)
    scored = rows[rows["repeat"] == 3]["log_probability"].tolist()
    assert scored == pytest.approx(reference.score(splitter.encode(TEXT)), abs=1e-3)


def test_prompts_are_trained_through_the_swarm_and_the_client_reads_with_them(
    petals_lab: VirtualLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from experiments.finetune.recipe import load_recipe  # noqa: PLC0415 - it needs PyTorch
    from experiments.finetune.run import finetune  # noqa: PLC0415
    from tests.unit.test_swarm_tuning import ProgressHeard  # noqa: PLC0415

    recipe = load_recipe(write_recipe(tmp_path))
    heard: list[str] = []

    def train() -> TunedRecord:
        progress = ProgressHeard()
        inventory = petals_lab.inventory
        return finetune(
            recipe, say=heard.append, progress=progress, tuned=tmp_path, inventory=inventory
        )

    record = train()
    assert [point.step for point in record.curve] == [0, 4, 8]
    assert (record.curve[2].held_out_loss or 9.0) < (record.curve[0].held_out_loss or 0.0)
    assert record.held_out_bits_per_byte.after < record.held_out_bits_per_byte.before
    assert record.device == f"a swarm of 2 ({FIRST}, {SECOND})"
    assert petals_lab.units() == {}
    assert train() == record
    assert heard[-1] == f"{NAME} is finished: nothing was to be done."

    monkeypatch.setattr(tuned, "TUNED_FOLDER", tmp_path)
    asked = study(Perplexity(text=TEXT_FILE, characters=400))
    axes = {**asked.axes, "adapter": ("none", NAME)}
    result = run(petals_lab.inventory, tmp_path, asked.model_copy(update={"axes": axes}))

    assert result.counts["done"] == 2
    tables = tables_of(Account.read(result.folder))
    trials = tables.trials.set_index("adapter")
    assert trials.loc[NAME, "perplexity"] < trials.loc["none", "perplexity"]
    read = set(tables.attempts["adapter_sha256"].dropna())
    assert read == {record.adapter["prompts.safetensors"]}


def test_a_server_that_dies_while_tokens_are_made_fails_the_attempt_and_not_the_next(
    petals_lab: VirtualLab, tmp_path: Path
) -> None:
    petals_lab.on(SECOND, "cat >/etc/killer", given=KILLER)
    petals_lab.on(SECOND, "systemd-run --quiet --collect --unit=killer sh /etc/killer")

    result = run(petals_lab.inventory, tmp_path, study(Benchmark(generate_tokens=200)))

    folders = sorted((result.folder / "attempts").glob("[!.]*"))
    first, second = (load_attempt(folder) for folder in folders)
    assert first.outcome == "failed"
    assert str(first.cause).startswith(f"the worker on {SECOND} ended by signal 9 (SIGKILL)")
    assert first.trial_wall_s < DEADLINE_S
    assert second.outcome == "done"
    listing = "systemctl list-units --all --plain --no-legend 'herd-*'"
    left = "pgrep --count --uid herd || true"
    for node in (FIRST, SECOND):
        assert petals_lab.on(node, listing) == ""
        assert petals_lab.on(node, left).strip() == "0"


def test_sixty_generations_in_one_process_do_not_hang(petals_lab: VirtualLab) -> None:
    server = (
        f"{PROGRAMS}/petals-server --model {FOLDER} --swarm herd --blocks 0:6 --name one "
        "--listen 127.0.0.1:9995 --first 127.0.0.1:9995 --tokens 64 --threads 1"
    )
    start = "systemd-run --quiet --collect --unit=alone --property=KillSignal=SIGINT"
    petals_lab.on(FIRST, f"{start} --property=KillMode=mixed {server}")
    build = petals_lab.on(FIRST, f"dirname $(readlink -f {PROGRAMS})").strip()
    python = f"{build}/venv/bin/python"
    try:
        script = SIXTY.format(folder=FOLDER, programs=f"{build}/programs")
        petals_lab.on(FIRST, "cat >/run/sixty.py", given=script)
        start = "systemd-run --quiet --unit=sixty --remain-after-exit"
        logs = "--property=StandardOutput=truncate:/run/sixty.out --property=StandardError=null"
        petals_lab.on(FIRST, f"{start} {logs} sh -c 'exec {python} -I /run/sixty.py'")
        until = time.monotonic() + DEADLINE_S
        said: list[str] = []
        while "59" not in said and time.monotonic() < until:
            time.sleep(2)
            said = petals_lab.on(FIRST, "cat /run/sixty.out || true").split()
    finally:
        petals_lab.on(FIRST, "systemctl stop sixty alone")
    assert said == [str(number) for number in range(60)]
