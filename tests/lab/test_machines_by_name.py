"""Machines by name, and several deployments at once, with the real llama.cpp on two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.account import Account
from collect.tables import build_tables
from experiments.disk.ledger import runs
from experiments.engines import ON_NODES
from tests.doubles.lab_run import MODEL, matrix
from tests.lab.runs import attempts
from tests.lab.virtual_lab import ROOT, WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture(scope="module")
def both_roots(lab: VirtualLab) -> Iterator[VirtualLab]:
    """The two nodes, of which the second has the model, too, until the tests here are over."""
    models = [{"name": MODEL, "weights": ["f32"]}]
    lab.provision("--tags=models", f"--limit={WORKER}", herd_models=models, herd_roots=[WORKER])
    yield lab
    (cell, *_) = matrix().cells()
    folder = ON_NODES["llama.cpp"].files(cell)[0].rpartition("/")[0]
    lab.on(WORKER, f"rm -r '{folder}'")


def test_each_machine_measures_alone_and_as_the_root(
    both_roots: VirtualLab, tmp_path: Path
) -> None:
    code, said = both_roots.run(tmp_path, "on=each,each_root", "repeats=2")

    assert code == 0, said
    account = Account.read(runs(tmp_path)[0])
    assert account.counts()["done"] == 8
    found = {cell.params["on"]: cell.nodes for cell in account.manifest.cells}
    assert found == {
        ROOT: (ROOT,),
        WORKER: (WORKER,),
        f"{ROOT}+{WORKER}": (ROOT, WORKER),
        f"{WORKER}+{ROOT}": (WORKER, ROOT),
    }
    for record in attempts(tmp_path):
        root = record.root()
        assert root is not None
        assert root.node == str(record.params["on"]).partition("+")[0]
    assert both_roots.units() == {}


def test_two_deployments_run_at_once(both_roots: VirtualLab, tmp_path: Path) -> None:
    code, said = both_roots.run(tmp_path, "groups=2x1,1x2", "repeats=2")

    assert code == 0, said
    twice = [one for one in attempts(tmp_path) if one.params["groups"] == "2x1"]
    assert len(twice) == 2
    for record in twice:
        assert [one.nodes for one in record.deployments] == [(ROOT,), (WORKER,)]
        begun = {process.node: process.started_at or 0.0 for process in record.processes}
        assert abs(begun[ROOT] - begun[WORKER]) < 1.0
    trials = build_tables(runs(tmp_path)[0]).trials
    assert trials[trials["groups"] == "2x1"]["deployments"].tolist() == [2, 2]
    assert (trials["all_tokens_per_s"] > 0).all()
    assert both_roots.units() == {}
