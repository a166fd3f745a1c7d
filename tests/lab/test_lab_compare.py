"""An API and a model on nodes in one run, whose runner is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collect.account import Account
from collect.tables import build_tables
from experiments.disk.ledger import runs
from tests.doubles.api_server import delta, saying, serving, stalling
from tests.doubles.asking_run import systems_file
from tests.doubles.lab_run import CHAT_MODEL
from tests.lab.runs import until
from tests.lab.virtual_lab import PROJECT, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]


def begin(lab: VirtualLab, results: Path, systems: Path) -> subprocess.Popen[bytes]:
    words = [lab.inventory, str(results), str(systems)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.lab_compare", *words], cwd=PROJECT
    )


def test_a_run_of_both_goes_on_after_kills_while_each_is_asked(
    lab: VirtualLab, tmp_path: Path
) -> None:
    with serving(stalling(delta("Hel")), saying("yes"), times=9) as (url, requests):
        systems = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        node = f"{{engine: llama.cpp, model: {CHAT_MODEL}, nodes: 1, weights: q4_0}}"
        systems.write_text(f"{systems.read_text()}  node: {node}\n")
        for is_asked in (lambda: requests, lab.units):
            runner = begin(lab, tmp_path / "results", systems)
            until(is_asked)
            runner.send_signal(signal.SIGKILL)
            runner.wait()
        assert begin(lab, tmp_path / "results", systems).wait(300) == 0

    (folder,) = runs(tmp_path / "results")
    account = Account.read(folder)
    assert account.counts()["done"] == account.counts()["planned"] == 4
    assert [len(trial.attempts) for trial in account.trials] == [1] * 4
    tables = build_tables(folder)
    told = tables.answers.merge(tables.trials[["trial_id", "system"]], on="trial_id")
    assert sorted(told["system"]) == ["api", "api", "node", "node"]
    assert set(told.loc[told["system"] == "api", "text"]) == {"yes"}
    assert lab.units() == {}
