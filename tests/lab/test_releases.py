"""A fleet of two systems: Debian 12 and Debian 13, which Raspberry Pi OS was and is built on.

llama.cpp is the real one, distributed-llama the double, built on each system. `make test-releases`
runs every test of the lab on such fleets; this is what of it runs each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.agreement.report import agreed
from collect.account import Account
from collect.load import load_run
from collect.tables import build_tables, tables_of
from experiments.disk.ledger import runs
from tests.doubles.lab_run import run
from tests.lab.conftest import MODELS, both_engines
from tests.lab.runs import attempts, has_attempts, until
from tests.lab.test_lab_agreement import STUDY
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

OLDER, NEWER = "mix1", "mix2"
ENGINES = "/opt/llama-herd/engines"
WHAT_IT_NEEDS = {**both_engines(), "herd_models": MODELS[:1]}
KILL_A_WORKER = """
until systemctl list-units --plain --no-legend 'herd-*-a1-worker.service' | grep -q .; do
    sleep 0.01
done
systemctl kill --signal=KILL 'herd-*-a1-worker.service'
"""


@pytest.fixture(scope="module")
def mixed(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    folder = tmp_path_factory.mktemp("releases")
    settings = {"lab_release": ["bookworm", "trixie"]}
    made = VirtualLab(folder, "mix", "10.99.0.0/24", 2, settings)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision(**WHAT_IT_NEEDS)
        yield made
    finally:
        made.down()


def installed(mixed: VirtualLab, node: str, engine: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(mixed.on(node, f"cat {ENGINES}/{engine}/install.json"))
    return record


def test_each_node_has_the_system_that_was_asked_for(mixed: VirtualLab) -> None:
    assert [(one.name, one.release) for one in mixed.status()] == [
        (OLDER, "bookworm"),
        (NEWER, "trixie"),
    ]
    for node, release in ((OLDER, "bookworm"), (NEWER, "trixie")):
        said = mixed.on(
            node, ". /etc/os-release; echo $VERSION_CODENAME; systemctl is-system-running"
        )
        assert said.split() == [release, "running"]


def test_provisioning_both_again_changes_nothing(mixed: VirtualLab) -> None:
    again = mixed.play("provision.yml", **WHAT_IT_NEEDS)
    assert again.code == 0, again.output
    assert again.changed() == {OLDER: 0, NEWER: 0}


def test_what_was_built_on_one_system_is_not_given_to_the_other(mixed: VirtualLab) -> None:
    built = [installed(mixed, node, "distributed-llama") for node in (OLDER, NEWER)]
    assert built[0]["cpu_model"] == built[1]["cpu_model"]
    assert built[0]["key"] != built[1]["key"]
    assert built[0]["compiler"] != built[1]["compiler"]
    packed = [installed(mixed, node, "llama.cpp") for node in (OLDER, NEWER)]
    assert packed[0]["binary_sha256"] == packed[1]["binary_sha256"], "it brings its own C library"


def test_one_node_and_both_say_what_the_reference_says(mixed: VirtualLab, tmp_path: Path) -> None:
    asked = run(mixed.inventory, tmp_path, STUDY.override(axes={"split_mode": "layer"}))
    assert set(asked.counts) >= {"done"}
    assert asked.counts["done"] == 6, asked.notes
    found = agreed(load_run(asked.folder), build_tables(asked.folder), asked.folder)
    assert found is not None
    assert not found.is_wrong, found.sentences
    judged = found.cells[found.cells["judgement"] == "agrees"]
    assert list(judged["nodes"]) == [1, 2]


def test_a_run_goes_on_after_its_process_and_an_engine_were_killed(
    mixed: VirtualLab, tmp_path: Path
) -> None:
    process = mixed.begin(tmp_path, "nodes=2")
    until(lambda: has_attempts(tmp_path))
    process.kill()
    process.communicate()

    process = mixed.begin(tmp_path, "nodes=2")
    mixed.on(NEWER, KILL_A_WORKER)
    said = process.communicate(timeout=120)[1]

    assert process.returncode == 0, said
    account = Account.read(runs(tmp_path)[0])
    assert set(tables_of(account).trials["state"]) == {"done"}
    assert {name: node["os"] for name, node in account.manifest.nodes.items()} == {
        OLDER: "Debian GNU/Linux 12 (bookworm)",
        NEWER: "Debian GNU/Linux 13 (trixie)",
    }
    assert "failed" in {attempt.outcome for attempt in attempts(tmp_path)}
    assert mixed.units() == {}


def test_reset_takes_what_was_installed_off_both(mixed: VirtualLab) -> None:
    reset = mixed.play("playbooks/reset.yml")
    assert reset.code == 0, reset.output
    left = "ls -d /opt/llama-herd /etc/llama-herd /etc/sudoers.d/zz-llama-herd 2>/dev/null; true"
    assert [mixed.on(node, left) for node in (OLDER, NEWER)] == ["", ""]
