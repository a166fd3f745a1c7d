"""llama.cpp on a GPU: which one a process sees, what is kept there, and that its log says so.

Facts of upstream: `ggml-vulkan.cpp`, `ggml-cuda.cu` and `llama-model.cpp` at 0.7.0, tried on
Mesa's software Vulkan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collect.workloads import Benchmark
from experiments.engines import common
from experiments.engines.base import Axis, Cell
from experiments.fleet.cluster import Backend, Node

GPU_LAYERS = Axis(
    "gpu_layers",
    str,
    default="all",
    values=("all",),
    form=(r"[1-9]\d{0,3}", "a whole number from 1 to 9999"),
    born_as="all",
    is_rare=True,
)
DEVICES: Mapping[Backend, str] = {"vulkan": "Vulkan0", "cuda": "CUDA0"}
"""What ggml calls the only GPU that a process sees: the node's helper shows it no other."""
TOKEN_BY_TOKEN = ("--ubatch-size", "1")
"""Matrices times one vector are float32 sums. For more at once both backends round to 16-bit
numbers or TF32: logarithms of probabilities then differ by 1e-3, and by 2e-6 with this."""
LOG_LEVEL = "4"
"""The lowest at which the log names the device, and says how many layers it got."""


def device(backend: Backend | None) -> tuple[str, ...]:
    """The device of a process, as an option; none for the CPU."""
    return ("--device", DEVICES[backend]) if backend else ()


def offloading(cell: Cell, node: Node) -> tuple[str, ...]:
    """What a process that computes alone keeps on its GPU, and how it logs that."""
    layers = ("--n-gpu-layers", str(gpu_layers(cell)))
    options = (*device(common.backend_of(cell, node)), *layers)
    if isinstance(cell.workload, Benchmark):
        return (*options, *_telling(cell))
    # It would else look for sizes that suit the GPU's memory.
    return (*options, "--fit", "off", *_telling(cell))


def telling(cell: Cell, nodes: Sequence[Node]) -> tuple[str, ...]:
    """How a client logs which workers it gave layers; nothing where only CPUs compute."""
    return _telling(cell) if _uses_gpus(cell, nodes) else ()


def _telling(cell: Cell) -> tuple[str, ...]:
    is_bench = isinstance(cell.workload, Benchmark)
    return ("--verbose",) if is_bench else ("--log-verbosity", LOG_LEVEL)


def exactly(cell: Cell, nodes: Sequence[Node]) -> tuple[str, ...]:
    """What makes texts agree with those of CPUs; nothing where only CPUs compute."""
    return TOKEN_BY_TOKEN if _uses_gpus(cell, nodes) else ()


def _uses_gpus(cell: Cell, nodes: Sequence[Node]) -> bool:
    return any(common.gpu_of(cell, node) for node in nodes)


def most_gpu_layers(cell: Cell) -> int:
    """Layers of the model as upstream counts them: the output matrix is the last one."""
    return common.model_spec(cell.model).shape.layers + 1


def gpu_layers(cell: Cell) -> int:
    """Layers on the GPU of a cell of one node: the last ones, with the output matrix."""
    asked = _asked(cell)
    return most_gpu_layers(cell) if asked == "all" else int(asked)


def misplaced(cell: Cell) -> str | None:
    """Why so many layers cannot be on the GPU, one sentence; None if they can."""
    asked, most = _asked(cell), most_gpu_layers(cell)
    if asked == "all":
        return None
    if cell.device == "cpu":
        return f"gpu_layers {asked} requires device gpu, and this cell computes on CPUs"
    if cell.nodes > 1:
        return (
            f"gpu_layers {asked} requires one node: with more nodes, each keeps its layers on one "
            "device (axis shares says how many)"
        )
    if int(asked) > most:
        return (
            f"gpu_layers is {asked}, and {cell.model} has {most} at most: {most - 1} layers and "
            "the output matrix"
        )
    return None


def _asked(cell: Cell) -> str:
    return str(cell.params.get(GPU_LAYERS.name, GPU_LAYERS.default))
