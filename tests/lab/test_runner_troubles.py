"""The runner on nodes that are unplugged, unknown, incomplete, taken, frozen or throttled.

The engine is the real llama.cpp, the model a tiny one of random weights.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collect.account import Account
from collect.load import load_run
from core.errors import HerdError
from experiments.disk.ledger import runs
from experiments.nodes.facts import ask_facts
from tests.lab.runs import attempts, has_attempts, launcher, until
from tests.lab.virtual_lab import ROOT, WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

INSTALL = "/opt/llama-herd/engines/llama.cpp/install.json"
RPC_PORT = 50052
BOUNDED_S = 90.0


def test_an_unplugged_node_is_named_in_bounded_time_and_the_others_go_on(
    lab: VirtualLab, tmp_path: Path
) -> None:
    process = lab.begin(tmp_path)
    until(lambda: has_attempts(tmp_path))
    lab.podman("pause", WORKER)
    try:
        begun = time.monotonic()
        said = process.communicate(timeout=BOUNDED_S)[1]
        assert time.monotonic() - begun < BOUNDED_S
    finally:
        lab.podman("unpause", WORKER)

    assert process.returncode == 1
    assert WORKER in said
    counts = Account.read(runs(tmp_path)[0]).counts()
    assert counts["failed"] == 0
    assert counts["pending"] > 0
    alone = [a for a in attempts(tmp_path) if a.params["nodes"] == 1]
    assert [a.outcome for a in alone] == ["done"] * 3
    assert lab.run(tmp_path)[0] == 0, "it goes on when the node is back"
    assert lab.units() == {}


def test_a_node_that_is_unplugged_at_the_beginning_is_named_in_bounded_time(
    lab: VirtualLab, tmp_path: Path
) -> None:
    lab.podman("pause", WORKER)
    try:
        begun = time.monotonic()
        code, said = lab.run(tmp_path, "nodes=2")
        took_s = time.monotonic() - begun
    finally:
        lab.podman("unpause", WORKER)

    assert code == 1
    assert WORKER in said
    assert "Traceback" not in said
    assert took_s < BOUNDED_S


def test_what_can_run_without_a_node_runs_and_the_node_is_taken_up_when_it_is_back(
    lab: VirtualLab, tmp_path: Path
) -> None:
    lab.podman("pause", WORKER)
    try:
        process = lab.begin(tmp_path)
        until(lambda: has_attempts(tmp_path) and len(attempts(tmp_path)) == 3)
        unseen = load_run(runs(tmp_path)[0])
    finally:
        lab.podman("unpause", WORKER)  # it is being looked for: nothing else is left
    said = process.communicate(timeout=BOUNDED_S)[1]

    assert process.returncode == 0, said
    assert f"{WORKER} is back and takes part." in said
    assert {attempt.params["nodes"] for attempt in attempts(tmp_path)} == {1, 2}
    assert Account.read(runs(tmp_path)[0]).counts()["done"] == 6
    assert unseen.nodes[WORKER] == {}
    assert load_run(runs(tmp_path)[0]).nodes[WORKER]["machine_id"]
    assert lab.units() == {}


def test_a_changed_host_key_is_refused_with_the_remedy(lab: VirtualLab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    lines = lab.known_hosts.read_text().splitlines()
    address = lab.cluster(1).root.address
    other = next(line for line in lines if not line.startswith(f"{address} "))
    known.write_text(f"{address} {other.split(' ', 1)[1]}\n")
    node = replace(lab.cluster(1).root, known_hosts=str(known))

    with launcher() as ssh, pytest.raises(HerdError) as caught:
        ssh.open(node)

    assert ROOT in str(caught.value)
    assert "its host key is not the one in" in str(caught.value)
    assert "ssh-keygen -R" in str(caught.value)


def test_an_unknown_host_key_is_refused_and_not_added(lab: VirtualLab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    node = replace(lab.cluster(1).root, known_hosts=str(known))

    with launcher() as ssh, pytest.raises(HerdError, match="is not in"):
        ssh.open(node)

    assert known.read_text() == ""


def test_a_wrong_key_is_told(lab: VirtualLab, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    node = replace(lab.cluster(1).root, key_file=str(key))

    with launcher() as ssh, pytest.raises(HerdError, match=rf"{ROOT}.*does not accept the key"):
        ssh.open(node)


def test_a_node_without_the_helper_is_told_to_be_provisioned(lab: VirtualLab) -> None:
    helper = "/usr/local/libexec/llama-herd/herd-node"
    lab.on(ROOT, f"mv {helper} {helper}.away")
    try:
        with launcher() as ssh, pytest.raises(HerdError, match=rf"(?s){ROOT}.*provision\.yml"):
            ask_facts(lab.cluster(1), ssh)
    finally:
        lab.on(ROOT, f"mv {helper}.away {helper}")


def test_an_engine_that_is_not_installed_leaves_its_cells_unavailable(
    lab: VirtualLab, tmp_path: Path
) -> None:
    lab.on(WORKER, f"mv {INSTALL} {INSTALL}.away")
    try:
        code, _ = lab.run(tmp_path, "nodes=1,2")
    finally:
        lab.on(WORKER, f"mv {INSTALL}.away {INSTALL}")

    assert code == 0
    account = Account.read(runs(tmp_path)[0])
    assert (account.counts()["done"], account.counts()["unavailable"]) == (3, 3)
    reasons = {trial.reason for trial in account.trials if trial.state == "unavailable"}
    assert all(f"llama.cpp is not installed on {WORKER}" in str(reason) for reason in reasons)


def test_a_taken_port_is_told_with_who_has_it(lab: VirtualLab, tmp_path: Path) -> None:
    listener = f"import socket,time;s=socket.create_server(('0.0.0.0',{RPC_PORT}));time.sleep(99)"
    lab.podman("exec", "--detach", WORKER, "python3", "-c", listener)
    try:
        time.sleep(1)
        code, said = lab.run(tmp_path, "nodes=2")
    finally:
        lab.on(WORKER, "pkill -f '[c]reate_server'")

    assert code == 1
    assert f"the worker on {WORKER} did not start: port 50052 is taken by python3" in said
    assert {attempt.outcome for attempt in attempts(tmp_path)} == {"failed"}


def test_a_frozen_worker_ends_the_attempt_long_before_its_deadline(
    lab: VirtualLab, tmp_path: Path
) -> None:
    # One cell, so that its worker lives to the end, and trials enough to freeze it in one.
    process = lab.begin(tmp_path, "nodes=2", "workers=kept", "repeats=20")
    until(lambda: has_attempts(tmp_path))
    freeze = "until pkill -STOP -f '[g]gml-rpc-server --host'; do sleep 0.05; done"
    lab.on(WORKER, f'timeout 20 sh -c "{freeze}"')

    begun = time.monotonic()
    process.communicate(timeout=60)

    assert time.monotonic() - begun < 45, "the deadline is at 60 s"
    assert process.returncode == 0, "the trial is tried again with another worker"
    causes = [str(a.cause) for a in attempts(tmp_path) if a.outcome == "failed"]
    assert all(f"on {WORKER} was frozen" in cause for cause in causes)
    assert len(causes) == 1
    assert lab.units() == {}


def test_trials_while_a_firmware_throttles_are_kept_and_do_not_count(
    lab: VirtualLab, tmp_path: Path
) -> None:
    """Also when the bits tell the same before and after: the lasting ones were set long ago."""
    process_id = lab.podman("inspect", "--format", "{{.State.Pid}}", WORKER).strip()
    firmware = "/sys/devices/platform/soc/soc:firmware"
    enter = ["nsenter", "--target", process_id, "--mount", "sh", "-c"]
    fill = f"mount -t tmpfs tmpfs /sys/devices/platform && mkdir -p {firmware}"
    subprocess.run([*enter, f"{fill} && echo 50001 >{firmware}/get_throttled"], check=True)
    try:
        code, _ = lab.run(tmp_path / "throttled", "nodes=2")
        subprocess.run([*enter, f"echo 50000 >{firmware}/get_throttled"], check=True)
        code_after, _ = lab.run(tmp_path / "after", "nodes=2")
    finally:
        subprocess.run([*enter, "umount /sys/devices/platform"], check=True)

    assert code == 1
    throttled = attempts(tmp_path / "throttled")
    assert {attempt.outcome for attempt in throttled} == {"invalid"}
    assert {attempt.cause for attempt in throttled} == {f"{WORKER}: its supply voltage was too low"}
    assert code_after == 0
    assert {attempt.outcome for attempt in attempts(tmp_path / "after")} == {"done"}
