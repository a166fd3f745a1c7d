"""Virtual nodes for tests. They come up once, by the real playbook."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from experiments.fleet.lab import LabNode, lab_down, lab_obstacle, lab_status, lab_up
from tests.doubles.lab_run import CHAT_MODEL, MODEL
from tests.lab.gpu_lab import GPUS, GROUPS, MEMORY_MIB, NODES, ROOTS
from tests.lab.virtual_lab import DOUBLE, RELEASES, VirtualLab

LAB_NODES = 8
MODELS = [{"name": MODEL, "weights": ["f32"]}, {"name": CHAT_MODEL, "weights": ["q4_0"]}]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/lab/" in item.path.as_posix():
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skips where there can be no lab; under CI that is a failure."""
    obstacle = lab_obstacle()
    if obstacle is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"no lab under CI: {obstacle}")
    pytest.skip(f"no lab here: {obstacle}")


@pytest.fixture(scope="session")
def lab_nodes(lab_possible: None) -> Iterator[list[LabNode]]:
    """The lab of the default inventory, with eight nodes or more.

    A lab that was up before stays up; one that was brought up for the tests is taken down.
    """
    before = len(lab_status())
    lab_up(max(before, LAB_NODES), release=",".join(RELEASES))
    yield lab_status()
    if before == 0:
        lab_down()


@pytest.fixture(scope="session")
def lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    """Two nodes of the runner's tests, with llama.cpp and the double of distributed-llama."""
    made = VirtualLab(tmp_path_factory.mktemp("run"), "run", "10.81.0.0/24", 2)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision(**both_engines())
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def gpu_lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    """Four nodes, of which two have a software GPU, with llama.cpp for it."""
    settings = {"lab_vulkan": list(GPUS), "lab_memory_mib": MEMORY_MIB}
    folder = tmp_path_factory.mktemp("gpu")
    made = VirtualLab(folder, "gx", "10.97.0.0/24", len(NODES), settings, groups=GROUPS)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision(**what_gpu_nodes_need())
        yield made
    finally:
        made.down()


def what_gpu_nodes_need() -> dict[str, object]:
    """Variables of provisioning."""
    return {
        **both_engines(),
        "distributed_llama_gpu": "none",
        "herd_models": MODELS[:1],
        "model_store_roots": ROOTS,
    }


def both_engines() -> dict[str, object]:
    """Variables of provisioning: the double as distributed-llama, and the models."""
    return {
        "distributed_llama_repo": str(DOUBLE),
        "distributed_llama_version": version_of_double(),
        "herd_models": MODELS,
    }


def version_of_double() -> str:
    """A commit's name for the source as it is, so that a build of another is not taken for it."""
    digest = hashlib.sha256()
    for file in sorted(DOUBLE.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:40]
