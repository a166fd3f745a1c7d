"""Everything that prints a command, in the situations in which it does.

`commands_printed` plays them all and tells what was made, and from which line of the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from collect.workloads import Benchmark, Greedy
from core.errors import HerdError
from experiments.adopt import machine, trust
from experiments.adopt.keys import State
from experiments.adopt.screen import next_commands
from experiments.doctor import ask
from experiments.doctor.diagnose import diagnose
from experiments.doctor.program import NONE
from experiments.engines import ON_NODES
from experiments.engines.base import Cell
from experiments.engines.common import unreadable
from experiments.engines.gpu_checks import gpu_missing
from experiments.finetune.recipe import Recipe
from experiments.finetune.started import again
from experiments.finetune.swarm.nodes import _require_base, _with_petals
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.nodes.facts import HELPER_VERSION, ask_facts
from experiments.nodes.ssh.launcher import SshConversation
from experiments.nodes.ssh.refusals import Failure
from experiments.nodes.told import wrong
from experiments.planning.describe import remedies
from experiments.planning.lacks import lacks_of
from experiments.planning.matrix import Matrix
from experiments.planning.plan import make_plan
from experiments.planning.precision import Pilot, precision_lines
from experiments.planning.recipes import not_made_yet
from experiments.prepare import steps_of
from models.catalogue import load_catalogue
from models.memory import NodeMemory
from tests.doubles.doctor_facts import PC, answer, changed
from tests.doubles.scripted import ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import world

NODE, OTHER = "desk", "pi1"
"""Names of the nodes that all commands are about."""
SUDO = {"user": "ada", "groups": ["ada"], "program": "/usr/bin/sudo"}
EMPTY = Node(name=NODE, address="192.0.2.7", engine_address="192.0.2.7", memory_mib=4096)
GPU = {"on_bus": 1}
WORKING_GPU = {
    "on_bus": 1,
    "gpus": [{"name": "RTX", "driver": "470.1", "compute_capability": "8.6"}],
}
TORCH = {"path": "/home/ada/petals", "kind": "venv", "torch": "2.6.0", "torch_cuda": "12.4"}
BROKEN: tuple[dict[str, Any], ...] = (
    {"read_only": True},
    {"starts_nothing": ["/opt"]},
    {"has_modules": False},
    {"dpkg_stopped": True},
)
TWIN = changed(PC, base={"machine_id": "1", "boot_id": "3"}, network={"host_keys": ["a"]})
SITUATIONS: tuple[dict[str, Any], ...] = (
    {"root": {**SUDO, "program": None}},
    {"root": {**SUDO, "program": None, "doas": True}},
    {"root": {**SUDO, "asks": "terminal"}},
    {"root": {**SUDO, "shell": "/bin/tcsh"}},
    {"root": {**SUDO, "asks": "refused"}},
    {"root": {**SUDO, "groups": ["sudo"], "asks": "password", "is_rs": True, "sudo_ws": True}},
    *({"condition": state} for state in BROKEN),
    {"machine": {"kind": "pi", "os_id": "debian"}, "condition": {"root_type": "overlay"}},
    {"base": {"machine_id": "1", "boot_id": "2"}, "network": {"host_keys": ["a"]}},
    {"base": {"clock_synchronised": False, "clock_service": None}},
    {
        "base": {"clock_synchronised": False, "clock_service": None},
        "machine": {"clock_units": ["chrony.service"]},
    },
    {"base": {"clock_synchronised": False}},
    {"base": {"available_mib": 100}},
    {"disks": [{"path": "/", "total_mib": 9000, "free_mib": 100}]},
    {"wsl": {}, "machine": {"kind": "wsl2"}, "gpu": {"driver_packages": ["nvidia-driver-550"]}},
    *({"network": {"firewalls": [{"kind": kind}]}} for kind in ("ufw", "firewalld", "iptables")),
    {"network": {"firewalls": [{"kind": "nftables"}]}},
    {"gpu": GPU},
    {"gpu": {**GPU, "nouveau": True}},
    {"gpu": {**GPU, "nvidia_smi": "/usr/bin/nvidia-smi", "nvidia_smi_error": "no"}},
    {
        "gpu": WORKING_GPU,
        "cuda": {"toolkits": [{"path": "/usr", "conda": False, "compiler": True, "version": "12"}]},
    },
    {
        "cuda": {
            "toolkits": [
                {"path": "/home/ada/conda", "conda": True, "compiler": True, "version": "12"}
            ]
        }
    },
    {"gpu": WORKING_GPU, "pythons": [TORCH]},
    {"gpu": GPU, "pythons": [{**TORCH, "torch_cuda": None, "petals": "2.2.0"}]},
    {"pythons": [{**TORCH, "petals": "2.2.0", "bitsandbytes": None}]},
    {"gpu": {"others": [{"name": "AMD", "driver": "amdgpu", "node": "/dev/dri/renderD128"}]}},
)
"""What the doctor finds on a node, beside a PC on which all is well."""


@dataclass(frozen=True)
class Printed:
    """A command, and the file and line that had it made."""

    text: str
    file: str
    line: int


def commands_printed(folder: Path) -> list[Printed]:
    """All commands, made while everything that prints one has a reason to."""
    printed: list[Printed] = []
    make = commands._shell

    def record(*words: Any) -> str:  # noqa: ANN401
        text = make(*words)
        frame = sys._getframe(1)
        while Path(frame.f_code.co_filename).name == "commands.py":
            frame = cast("Any", frame.f_back)
        printed.append(Printed(text, frame.f_code.co_filename, frame.f_lineno))
        return text

    with patch.object(commands, "_shell", record):
        for situation in _situations(folder):
            with suppress(HerdError):
                situation()
    return printed


def _situations(folder: Path) -> Iterator[Callable[[], object]]:
    for told in SITUATIONS:
        yield lambda told=told: diagnose([answer(changed(PC, **told), NODE), answer(TWIN, OTHER)])
    yield lambda: diagnose([answer(PC, NODE, herd_gpu="vulkan")])
    yield lambda: ask._unfit(EMPTY, f"{NONE} debian")
    yield lambda: ask._silence(EMPTY, _channel("it hangs"), ask.CutShortError("it ended"))
    yield lambda: wrong(NODE, "its facts", "they are torn")
    yield _helper_that_fails
    yield lambda: Failure.error(_failure("Connection refused"))
    yield lambda: Failure._in_vain(_failure(""), _failure("")._machine())
    yield lambda: _asked(world(folder), helper="0")
    yield lambda: _asked(world(folder, model_bytes=8, model_sha256="bad" * 21 + "b"))
    yield _text_that_cannot_be_split
    yield lambda: remedies(make_plan(_matrix(), Cluster((EMPTY,))))
    yield lambda: _precision(has_pilots=False)
    yield lambda: _precision(has_pilots=True)
    lacks = lacks_of(_matrix().cells(), Cluster((EMPTY, replace(EMPTY, name=OTHER))))
    yield lambda: [(step.command(), step.argv()) for step in steps_of(lacks, "pi1")]
    yield _gpu_that_is_not_set_up
    yield lambda: list(next_commands(2, []))
    yield lambda: machine.again_with(["ada@192.0.2.7"], None)
    yield lambda: _machine_with_another_key(folder)
    yield _training_that_goes_on
    yield lambda: _model_not_made_yet(folder)
    yield lambda: _require_base("stories15m", "a" * 64, {NODE: "b" * 64})
    yield lambda: _with_petals(Cluster((EMPTY,)), load_catalogue().get("stories15m"))


def _training_that_goes_on() -> None:
    recipe = Recipe(name="tales", model="stories15m", data="tales.txt", steps=4, file="tales.yml")
    again(recipe)
    again(recipe, "--new")


def _model_not_made_yet(folder: Path) -> None:
    (folder / "tales.yml").write_text("name: tales\nmodel: stories15m\n")
    assert not_made_yet("tales", folder, folder / "tuned")


def _helper_that_fails() -> None:
    SshConversation(EMPTY, _channel("sudo: a password is required"))._ended()


def _failure(said: str) -> Any:  # noqa: ANN401
    """A connection that failed, with all that is asked of it."""
    why = SimpleNamespace(let_in=False, of_windows=False)
    machine = SimpleNamespace(where="Connecting")
    told = SimpleNamespace(
        node=EMPTY, said=said, why=why, is_listed=True, _machine=lambda *_, **__: machine
    )
    told._not_reached = lambda: Failure._not_reached(told)
    told._try = lambda: Failure._try(told)
    return told


def _channel(said: str) -> Any:  # noqa: ANN401
    """A connection that ended."""
    return SimpleNamespace(last_said=lambda: said, status=lambda: 1)


def _machine_with_another_key(folder: Path) -> None:
    fleet = SimpleNamespace(project=folder, nodes=[])
    one = SimpleNamespace(node=EMPTY, asked=SimpleNamespace(word="ada@192.0.2.7"))
    host = SimpleNamespace(state=State.CHANGED, name="192.0.2.7", line=1)
    trust._against(*cast("tuple[Any, Any, Any]", (fleet, one, host)), [], None)


def _asked(world: World, helper: str | None = None) -> None:
    """Ask nodes for their facts, whose helper may speak another version."""
    launcher = ScriptedLauncher(world)
    with patch("experiments.nodes.facts.HELPER_VERSION", helper or HELPER_VERSION):
        ask_facts(cluster(1), launcher)


def _text_that_cannot_be_split() -> None:
    workload = Greedy(prompts=("Once",), text="Once upon a time", positions=32)
    params = {"engine": "llama.cpp", "model": "smollm2-135m", "nodes": 1, "weights": "f32"}
    with patch("experiments.engines.common.is_fetched", return_value=False):
        unreadable(Cell(params={**params, "workers": "fresh"}, workload=workload))


def _precision(*, has_pilots: bool) -> None:
    """What `fab plan --precision` advises: a pilot, or to measure until it is reached."""
    plan = make_plan(_matrix(), Cluster((EMPTY,)))
    able = tuple(cell.model_copy(update={"unavailable": None}) for cell in plan.cells)
    pilot = Pilot("a-run", (10.0, 10.1, 10.2))
    pilots = {cell.cell_id: pilot for cell in able} if has_pilots else {}
    precision_lines(replace(plan, cells=able), pilots, 0.03)


def _gpu_that_is_not_set_up() -> None:
    engine = ON_NODES["llama.cpp"]
    node = replace(EMPTY, engines={engine.name: Installation(engine.name, installed=True)})
    (cell, *_) = _matrix().override(axes={"device": "gpu"}).cells()
    gpu_missing(cell, Cluster((node,)), engine, (NodeMemory(0),), "")


def _matrix() -> Matrix:
    made = Matrix(title="Study", workload=Benchmark(prompt_tokens=4, generate_tokens=4))
    axes = {"engine": "llama.cpp,petals", "model": "synthetic:tiny", "nodes": "1"}
    flags = [word for name, value in axes.items() for word in (f"--{name}", value)]
    return made.override(axes=axes).model_copy(update={"flags": tuple(flags)})
