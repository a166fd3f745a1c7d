"""Virtual nodes for tests. They come up once, by the real playbook."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from experiments.lab import LabNode, lab_down, lab_obstacle, lab_status, lab_up

LAB_NODES = 8


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
    lab_up(max(before, LAB_NODES))
    yield lab_status()
    if before == 0:
        lab_down()
