"""Petals on GPUs: which server uses one, weights that are made on it, what a server says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from collect.parsers.petals import PARSER
from collect.workloads import Benchmark, Greedy
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell, Process
from experiments.engines.common import below_models
from experiments.fleet import commands
from experiments.fleet.cluster import Backend, Cluster, Gpu, Installation, Node
from experiments.nodes.told import Stamp, read_told
from experiments.planning.axes import COMMON_AXES
from models.build import artifact_file_names
from models.catalogue import load_catalogue
from models.shape import packed_bytes, stored_as

PROGRAMS = Path(__file__).resolve().parents[2] / "roles/petals/files/programs"
PETALS = ON_NODES["petals"]
SPEC = load_catalogue().get("stories15m")
FILES = tuple(map(below_models, artifact_file_names(SPEC, "huggingface", "f32").values()))
GPU = Gpu("cuda", 0, "NVIDIA Something", "discrete", 24000, 23000, "535")


def node(number: int, gpu: Gpu | None = None, memory_mib: int = 8192) -> Node:
    installation = Installation(
        "petals", installed=True, version="2.2.0", gpu=gpu.backend if gpu else None
    )
    return Node(
        name=f"n{number}",
        address=f"192.0.2.{number}",
        engine_address=f"10.0.0.{number}",
        cores=4,
        memory_mib=memory_mib,
        engines={"petals": installation},
        gpus={gpu.backend: gpu} if gpu else {},
        model_sha256=dict.fromkeys(FILES, "cd"),
    )


def cell(nodes: int = 2, workload: Benchmark | Greedy | None = None, **params: object) -> Cell:
    axes = {axis.name: axis.default for axis in PETALS.axes}
    common = {"engine": "petals", "model": "stories15m", "weights": "f32", "nodes": nodes}
    given = {**axes, "workers": "fresh", **common, "device": "gpu", **params}
    made = workload or Benchmark(prompt_tokens=16, generate_tokens=32)
    return Cell(params=given, workload=made)  # type: ignore[arg-type]


def servers(cell: Cell, *nodes: Node) -> tuple[Process, ...]:
    return PETALS.deploy(cell, Cluster(nodes=nodes)).workers


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("cuda", "the inventory says `herd_gpu: cuda`, so run "),
        (None, "if it has one, write `herd_gpu: cuda` for it in the inventory, then run "),
    ],
)
def test_an_installation_for_cuda_by_an_older_toolkit_is_told_what_to_do(
    told: Backend | None, said: str
) -> None:
    """Its record has `method: cuda` and no field `gpu`."""
    record = json.dumps({"installed": True, "version": "2.2.0", "method": "cuda"})
    stamp = read_told("n1", "install.json", record, Stamp)
    one = node(1)
    installation = replace(one.engines["petals"], gpu=stamp.gpu, details=stamp.details())
    old = Cluster(nodes=(replace(one, engines={"petals": installation}, herd_gpu=told),))
    assert PETALS.check(cell(1), old) == (
        f"no GPU is set up for petals on n1: {said}`{commands.provision('petals', limit=['n1'])}`"
    )
    assert PETALS.check(cell(1, device="cpu"), old) is None


def option(process: Process, name: str) -> str:
    return process.argv[process.argv.index(name) + 1]


def test_a_server_uses_its_gpu_in_cells_of_gpus_only() -> None:
    both = (node(1, GPU), node(2))
    assert [(option(one, "--device"), one.gpu) for one in servers(cell(), *both)] == [
        ("cuda", "cuda"),
        ("cpu", None),
    ]
    on_cpus = servers(cell(device="cpu"), *both)
    assert [(option(one, "--device"), one.gpu) for one in on_cpus] == [("cpu", None)] * 2
    assert PETALS.deploy(cell(), Cluster(nodes=both)).root.gpu is None


def test_layers_are_shared_by_the_memory_of_what_computes() -> None:
    shared = servers(cell(spans="memory"), node(1, GPU), node(2, memory_mib=8000))
    assert [option(one, "--blocks") for one in shared] == ["0:4", "4:6"]


@pytest.mark.parametrize("weights", ["int8", "nf4"])
def test_weights_that_are_made_on_gpus_come_from_the_files_of_others(weights: str) -> None:
    asked = cell(weights=weights)
    both = Cluster(nodes=(node(1, GPU), node(2, GPU)))
    assert PETALS.check(asked, both) is None
    assert {option(one, "--weights") for one in servers(asked, *both.nodes)} == {weights}
    assert PETALS.files(asked) == PETALS.files(cell())


def test_they_take_less_of_a_gpu_and_are_what_all_engines_know_by_name() -> None:
    both = (node(1, GPU), node(2))
    needs = [PETALS.memory_on(cell(weights=one), both) for one in ("f32", "int8", "nf4")]
    sizes = [on_gpu.gpu_bytes for on_gpu, _ in needs]
    assert sizes == sorted(sizes, reverse=True)
    assert {on_cpu.gpu_bytes for _, on_cpu in needs} == {0}
    root, worker = PETALS.memory_on(cell(), (node(1), node(2)))
    assert needs[0][1] == worker, "a CPU needs as much next to a GPU"
    assert needs[0][0].ram_bytes < root.ram_bytes
    assert packed_bytes(1024, "int8") == 1024
    assert packed_bytes(1024, "nf4") == 1024 * 17 // 32
    assert [stored_as(one) for one in ("f32", "q4_0", "int8", "nf4")] == [
        *("f32", "q4_0", "f32", "f32")
    ]
    weights = next(axis for axis in COMMON_AXES if axis.name == "weights")
    assert {"int8", "nf4"} <= set(weights.values or ())


def test_where_weights_cannot_be_made_the_reason_is_told() -> None:
    both = Cluster(nodes=(node(1, GPU), node(2)))
    told = str(PETALS.check(cell(weights="nf4"), both))
    assert told == "nf4 weights are made on GPUs only, and petals computes on the CPU of n2"
    told = str(PETALS.check(cell(weights="int8", device="cpu"), both))
    assert told == "int8 weights are made on GPUs only: set `device: [gpu]`"
    greedy = Greedy(prompts=("a",), positions=8, text="A text.")
    told = str(PETALS.check(cell(1, greedy, weights="int8"), both))
    assert told == "the reference implementation does not compute with int8 weights"


def test_other_engines_have_no_such_weights() -> None:
    asked = cell(1, engine="llama.cpp", weights="int8", device="cpu")
    told = str(ENGINES["llama.cpp"].check(asked, Cluster(nodes=(node(1),))))
    assert told == "llama.cpp has no int8 weights, only f32, f16, q8_0, q4_0"


def test_a_server_says_which_gpu_has_its_blocks() -> None:
    said = b"Holding blocks on NVIDIA Something\n"
    assert PARSER.computed_on("worker", said, b"") == "NVIDIA Something"
    assert PARSER.computed_on("worker", b"Holding blocks on cpu\n", b"") is None
    assert PARSER.computed_on("worker", said + b"Holding blocks on cpu\n", b"") is None
    assert PARSER.computed_on("root", said, b"") is None
    assert PARSER.computed_on("worker", b"", b"") is None


TORCH = """
class cuda:
    def get_device_name(device):
        return f"NVIDIA number {device.index}"
"""
SERVER = """
class Device:
    def __init__(self, type, index=None):
        self.type, self.index = type, index

class Part:
    def __init__(self, *device):
        self.device = Device(*device)

class Block(list):
    parameters = lambda self: self

def convert_block(block, devices):
    return Block(Part(*device) for device in devices)
"""
ASKING = """
from herd_petals import holding
holding.tell_device()
from petals.server import server
for device in (("cuda", 0), ("cuda", 0), ("cpu",)):
    assert len(server.convert_block("block", devices=[device, device])) == 2
"""


def test_what_it_says_is_where_the_parts_of_its_blocks_are_once_each(tmp_path: Path) -> None:
    stubs = {"torch.py": TORCH, "petals/__init__.py": "", "petals/server/__init__.py": ""}
    for name, text in {**stubs, "petals/server/server.py": SERVER}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-B", "-c", ASKING],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{tmp_path}:{PROGRAMS}", "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert done.stdout == "Holding blocks on NVIDIA number 0\nHolding blocks on cpu\n"
