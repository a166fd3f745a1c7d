"""A lab with distributed-llama built by the role from upstream's real source."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from experiments.fleet.lab import lab_obstacle
from tests.lab.virtual_lab import VirtualLab

SOURCE = os.environ.get("DISTRIBUTED_LLAMA_SOURCE")
PROGRAM = "/opt/llama-herd/engines/distributed-llama/bin/dllama"
ROOT, WORKER, SECOND = "eng1", "eng2", "eng3"
NODES = 8
TINY, SMALL = "synthetic:tiny", "synthetic:small"
TWELVE_HEADS = (
    "synthetic:dim=384,hidden=768,layers=2,heads=12,kv_heads=12,vocab=1026,context=256,seed=1"
)
TWO_KV_HEADS = (
    "synthetic:dim=256,hidden=512,layers=2,heads=8,kv_heads=2,vocab=1024,context=256,seed=1"
)
MODELS = [
    {"name": TINY, "weights": ["q4_0"]},
    {"name": SMALL, "weights": ["q4_0"]},
    {"name": TWELVE_HEADS, "weights": ["f32"]},
    {"name": TWO_KV_HEADS, "weights": ["q4_0"]},
]
# A disk for logs that a test can fill.
SMALL_DISK = {"/var/lib/llama-herd": "8m"}
SABOTEUR = """#!/bin/sh
# Stands in the engine's place and does a mischief before it, in first attempts only.
if [ -r /etc/mischief ] && grep -q -- '-a1-[a-z-]*[.]service' /proc/self/cgroup; then
    . /etc/mischief
fi
exec "$0.real" "$@"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/engines/" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.slow)
        if SOURCE is None:
            reason = "DISTRIBUTED_LLAMA_SOURCE, a Git address or a folder of upstream's, is not set"
            item.add_marker(pytest.mark.skip(reason=reason))


class RealLab(VirtualLab):
    """Eight nodes with the real engine."""

    def plant(self, node: str, mischief: str) -> None:
        """Shell commands to come before the engine in first attempts on a node."""
        self.on(node, "cat >/etc/mischief", given=mischief)

    def make_good(self) -> None:
        """Take all mischief away."""
        for node in (ROOT, WORKER, SECOND):
            self.on(node, "rm -f /etc/mischief; systemctl stop killer stranger 2>/dev/null || true")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab, with the engine as the role builds it and a saboteur in its place."""
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.fail(f"no lab here: {obstacle}")
    made = RealLab(
        tmp_path_factory.mktemp("engines"), "eng", "10.93.0.0/24", NODES, {"lab_tmpfs": SMALL_DISK}
    )
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        tags = "--tags=base,distributed_llama,models"
        made.provision(
            tags,
            distributed_llama_repo=SOURCE,
            distributed_llama_fix_prompt_token=True,
            herd_models=MODELS,
        )
        for node in made.names:
            place = f"mv {PROGRAM} {PROGRAM}.real && cat >{PROGRAM} && chmod 755 {PROGRAM}"
            made.on(node, place, given=SABOTEUR)
        yield made
    finally:
        made.down()


@pytest.fixture
def sound(lab: RealLab) -> Iterator[RealLab]:
    """The lab without mischief, before and after."""
    lab.make_good()
    yield lab
    lab.make_good()
