"""The runner killed, continued, and beside another one, on virtual nodes.

The engine is the real llama.cpp, the model a tiny one of random weights.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collect.account import Account
from collect.tables import build_tables
from experiments.disk.ledger import runs
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Request, ask
from experiments.nodes.owner import Owner
from tests.lab.runs import attempts, launcher, until
from tests.lab.virtual_lab import WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

KILLS = 5


def test_five_kills_lose_nothing_repeat_nothing_and_leave_no_unit(
    lab: VirtualLab, tmp_path: Path
) -> None:
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    axes = ("workers=fresh,kept",)
    assert lab.run(tmp_path / "undisturbed", *axes)[0] == 0
    killed = tmp_path / "killed"

    for _ in range(KILLS):
        process = lab.begin(killed, *axes)
        time.sleep(chance.uniform(3.0, 7.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert lab.run(killed, *axes)[0] == 0

    assert lab.units() == {}
    (reference,), (resumed,) = runs(tmp_path / "undisturbed"), runs(killed)
    assert Account.read(resumed).counts() == Account.read(reference).counts()
    assert [
        (a.attempt_id, a.outcome, a.samples, sorted(a.file_bytes)) for a in attempts(killed)
    ] == [
        (a.attempt_id, a.outcome, a.samples, sorted(a.file_bytes))
        for a in attempts(tmp_path / "undisturbed")
    ]
    same = ["trial_id", "cell_id", "order", "state", "attempts", "generated_tokens"]
    told = [build_tables(folder).trials[same].to_dict("records") for folder in (resumed, reference)]
    assert told[0] == told[1]


def test_a_killed_runner_leaves_no_unit_even_before_it_is_resumed(
    lab: VirtualLab, tmp_path: Path
) -> None:
    process = lab.begin(tmp_path, "workers=kept", "nodes=2", "repeats=400")
    until(lambda: WORKER in lab.units())

    process.send_signal(signal.SIGKILL)
    process.communicate()

    until(lambda: not lab.units())


def test_two_runners_do_not_share_a_cluster(lab: VirtualLab, tmp_path: Path) -> None:
    with launcher() as ssh:
        herd = Herd(ssh, lab.cluster(2).nodes, Owner.me())
        herd.own_all()
        code, said = lab.run(tmp_path, "nodes=2")
        herd.close()

    assert code == 1
    assert f"(process {os.getpid()}, since " in said
    assert lab.run(tmp_path, "nodes=1")[0] == 0, "it is free when its owner lets go"


def test_a_node_is_taken_over_from_a_runner_that_died_without_a_goodbye(
    lab: VirtualLab, tmp_path: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    owner = replace(Owner.me(), pid=dead.pid)
    with launcher() as ssh:
        # This connection stays, as one does whose other end lost its power.
        ask(ssh.open(lab.cluster(1).root), Request("own", (("who", owner.line()),)))

        assert lab.run(tmp_path, "nodes=1")[0] == 0
