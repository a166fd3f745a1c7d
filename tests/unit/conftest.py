"""What all tests without nodes share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from experiments.fleet import commands


def pytest_collection_finish() -> None:
    """Leave what all tests are made of out of each search for garbage: half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without the settings file that `make` names, and without another test's inventory."""
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    with commands.remembered():
        yield
