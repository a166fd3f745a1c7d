"""A lab of two nodes with Petals as the role installs it: Debian 12, and 13 without Python 3.11."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from experiments.fleet.lab import lab_obstacle
from tests.lab.virtual_lab import VirtualLab

FIRST, SECOND = "pet1", "pet2"
MODEL = "stories15m"
MODELS = [{"name": MODEL, "weights": ["f32"]}]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/petals/" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.slow)
        if "PETALS_PACKAGES" not in os.environ:
            reason = "PETALS_PACKAGES is not set: 0.4 GB of packages may be fetched"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def petals_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    """Two nodes that have Petals and its model."""
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.fail(f"no lab here: {obstacle}")
    systems = {"lab_release": ["bookworm", "trixie"]}
    made = VirtualLab(tmp_path_factory.mktemp("petals"), "pet", "10.92.0.0/24", 2, systems)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision("--tags=base,petals,models", herd_petals=True, herd_models=MODELS)
        yield made
    finally:
        made.down()
