"""What llama.cpp computed on is read from its own log, never from what it was asked.

The logs in tests/data/llama-cpp are of 0.7.0 on Mesa's software Vulkan, less lines that say
nothing of devices.
"""

from pathlib import Path

import pytest

from collect.attempt import Role
from collect.parsers.llama_cpp import PARSER, failure_cause

DATA = Path(__file__).parents[1] / "data" / "llama-cpp"
NAME = "llvmpipe (LLVM 15.0.6, 256 bits)"


def log(name: str) -> bytes:
    path = DATA / name
    return path.read_bytes() if path.exists() else b""


def computed_on(role: Role, name: str) -> str | None:
    return PARSER.computed_on(role, log(f"{name}.out"), log(f"{name}.err"))


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("root", "gpu-bench-all"),
        ("root", "gpu-bench-some"),
        ("root", "gpu-perplexity"),
        ("server", "gpu-server"),
        ("worker", "gpu-worker"),
    ],
)
def test_a_program_that_computed_on_a_gpu_names_it(role: Role, name: str) -> None:
    assert computed_on(role, name) == NAME


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("root", "gpu-bench-none"),  # --device none, and yet "offloaded 2/3 layers to GPU"
        ("worker", "cpu-worker"),
        ("worker", "gpu-worker-no-device"),
        ("server", "gpu-server-no-device"),
        ("root", "bench-n1"),
        ("root", "sm-tensor"),
        ("root", "completion-n2"),
    ],
)
def test_a_program_that_did_not_names_none(role: Role, name: str) -> None:
    assert computed_on(role, name) is None


def test_a_worker_of_before_lists_its_devices_on_standard_output() -> None:
    listed = b"Starting RPC server v7.0.0\n  endpoint       : 10.0.0.1:50052\nDevices:\n"
    cuda = b"  CUDA0: NVIDIA GeForce RTX 4070 Ti SUPER (15944 MiB, 15500 MiB free)\n"
    assert PARSER.computed_on("worker", listed + cuda, b"") == "NVIDIA GeForce RTX 4070 Ti SUPER"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (b"offloaded 2/3 layers", b"offloaded 1/3 layers"),
        (b"Vulkan0 model buffer size =     3.50", b"Vulkan0 model buffer size =     0.00"),
        (b"using device Vulkan0", b"using device RPC0"),
    ],
)
def test_fewer_layers_than_asked_or_no_weights_there_are_not_on_the_gpu(
    here: bytes, there: bytes
) -> None:
    whole = log("gpu-bench-some.err")
    assert here in whole
    changed = whole.replace(here, there)
    assert PARSER.computed_on("root", log("gpu-bench-some.out"), changed) is None


def test_words_of_a_question_in_the_log_of_a_server_are_no_device() -> None:
    """A server that found no GPU, or has none, may log what it is asked."""
    loaded, serves, port = log("gpu-server.err").partition(b"0.02.476.239 I srv")
    on_cpu = b"\n".join(line for line in loaded.split(b"\n") if b"Vulkan" not in line)
    assert PARSER.computed_on("server", b"", on_cpu + serves + port) is None
    assert PARSER.computed_on("server", loaded, on_cpu + serves + port + loaded) is None
    other = loaded.replace(b"llvmpipe", b"of a text").replace(b"offloaded 2/3", b"offloaded 0/3")
    assert PARSER.computed_on("server", b"", loaded + serves + port + other) == NAME


def test_the_last_of_several_loads_counts() -> None:
    """A server that looks for sizes first loads nothing, and logs it in the same words."""
    load = log("gpu-server.err").partition(b"0.02.476.239 I srv")[0]
    trial = load.replace(b"3.50 MiB", b"0.00 MiB")
    assert PARSER.computed_on("server", b"", trial + load) == NAME
    assert PARSER.computed_on("server", b"", load + trial) is None


@pytest.mark.parametrize("name", ["gpu-server-no-device", "gpu-worker-no-device"])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    assert "it found no device Vulkan" in str(failure_cause("", log(f"{name}.err").decode()))


def test_programs_for_a_gpu_are_read_like_those_for_the_cpu() -> None:
    argv = ("/opt/llama-herd/engines/llama.cpp/bin/llama-bench-vulkan", "--device", "Vulkan0")
    assert PARSER.measurement(argv, log("gpu-bench-all.out"), b"").samples == 4


# -- which workers got something to compute

USING = (
    b"llama_prepare_model_devices: using device RPC%d (10.0.0.%d:50052) (unknown id) - 9 MiB free\n"
)
GIVEN = b"load_tensors: RPC0[10.0.0.%d:50052] model buffer size =     %s MiB\n"
STAMP = b"0.00.172.020 I "
SERVES = b"0.00.218.887 I srv  llama_server: listening on http://127.0.0.1:9\n"


@pytest.mark.parametrize("stamp", [b"", STAMP])
def test_a_worker_without_weights_got_nothing_to_compute(stamp: bytes) -> None:
    using = b"".join(stamp + USING % (number, number) for number in range(3))
    some = stamp + GIVEN % (0, b"6.00") + stamp + GIVEN % (2, b"0.00")
    assert PARSER.idle_workers("root", b"", using + some) == {1, 2}
    rest = stamp + GIVEN % (1, b"12.25") + stamp + GIVEN % (2, b"0.01")
    assert PARSER.idle_workers("root", b"", using + some + rest) == frozenset()


def test_where_every_layer_is_cut_or_nothing_is_logged_no_worker_is_idle() -> None:
    cut = b"llama_prepare_model_devices: using device Meta() (Meta()) (unknown id) - 9 MiB free\n"
    assert PARSER.idle_workers("root", b"", cut) == frozenset()
    assert PARSER.idle_workers("root", b"", b"") == frozenset()


def test_words_of_a_question_give_a_worker_nothing() -> None:
    log = STAMP + USING % (0, 0) + SERVES + GIVEN % (0, b"6.00") + USING % (1, 1)
    assert PARSER.idle_workers("server", b"", log) == {0}
