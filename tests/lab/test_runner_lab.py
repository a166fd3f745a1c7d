"""The runner on virtual nodes: killed, with a node unplugged, with wrong keys, on bad nodes.

The engine is the real llama.cpp, the model a tiny one of random weights.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from collect.errors import HerdError
from collect.tables import build_tables
from experiments.cluster import Cluster, Node
from experiments.facts import ask_facts
from experiments.herd import Herd
from experiments.inventory import read_cluster
from experiments.ledger import runs
from experiments.owner import Owner
from experiments.protocol import Request, ask
from experiments.readings import unit_state
from experiments.remote import SshTransport
from tests.doubles.lab_run import MODEL

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
INSTALL = "/opt/llama-herd/engines/llama.cpp/install.json"
RPC_PORT = 50052
ROOT, WORKER = "run1", "run2"
LAB = {
    "lab_prefix": "run",
    "lab_network": "llama-herd-run",
    "lab_subnet": "10.81.0.0/24",
    "lab_nodes": 2,
}
KILLS = 5
CAP_SYS_NICE, CAP_SYS_RESOURCE = 1 << 23, 1 << 24
BOUNDED_S = 90.0


@dataclass(frozen=True)
class Lab:
    """Two virtual nodes of these tests alone, so that nobody else's run is in the way."""

    folder: Path

    @property
    def inventory(self) -> str:
        return str(self.folder / "hosts.yml")

    @property
    def known_hosts(self) -> Path:
        return self.folder / "lab" / "known_hosts"

    def play(self, playbook: str, inventory: str, *flags: str, **extra: object) -> None:
        """Run a playbook of the project."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                f"--inventory={inventory}",
                playbook,
                f"--extra-vars={json.dumps(extra)}",
                *flags,
            ],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

    def write_inventory(self) -> None:
        """As the lab's own inventory would tell it."""
        state = json.loads((self.folder / "lab" / "state.json").read_text())
        variables = {
            **yaml.safe_load((PROJECT / "inventory" / "group_vars" / "all.yml").read_text()),
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": str(self.folder / "lab" / "id_ed25519"),
            "herd_known_hosts": str(self.known_hosts),
            "lab_gateway": state["gateway"],
            "node_facts_folder": str(self.folder / "nodes"),
        }
        hosts = {node["name"]: {"ansible_host": node["address"]} for node in state["nodes"]}
        content = {"cluster": {"hosts": hosts, "vars": variables}}
        Path(self.inventory).write_text(yaml.safe_dump(content, sort_keys=False))

    def podman(self, *arguments: str) -> str:
        """What a command of Podman prints."""
        configuration = self.folder / "lab" / "containers.conf"
        extra = {"CONTAINERS_CONF": str(configuration)} if configuration.exists() else {}
        done = subprocess.run(
            ["podman", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **extra},
        )
        return done.stdout

    def on(self, node: str, command: str) -> str:
        """What a command on a node prints, not by way of the helper."""
        return self.podman("exec", node, "sh", "-c", command)

    def begin(self, results: Path, *axes: str) -> subprocess.Popen[str]:
        """Begin or continue a run."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.lab_run", self.inventory, str(results), *axes],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, results: Path, *axes: str) -> tuple[int, str]:
        """The whole of it: exit code and what it said."""
        process = self.begin(results, *axes)
        said = process.communicate(timeout=300)[1]
        return process.returncode, said

    def units(self) -> dict[str, str]:
        """Units of ours that systemd knows, by node."""
        listing = "systemctl list-units --all --plain --no-legend 'herd-*'"
        return {node: units for node in (ROOT, WORKER) if (units := self.on(node, listing).strip())}

    def cluster(self, count: int) -> Cluster:
        """The first nodes."""
        whole = read_cluster(PROJECT, self.inventory)
        return replace(whole, nodes=whole.nodes[:count])


@pytest.fixture(scope="module")
def lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab, with llama.cpp and the tiny model."""
    made = Lab(tmp_path_factory.mktemp("runner"))
    settings = {**LAB, "lab_directory": str(made.folder / "lab")}
    models = [{"name": MODEL, "weights": ["f32"]}]
    try:
        made.play("playbooks/lab.yml", "localhost,", lab_state="present", **settings)
        made.write_inventory()
        tags = "--tags=base,llama_cpp,models"
        made.play("provision.yml", made.inventory, tags, herd_models=models)
        yield made
    finally:
        made.play("playbooks/lab.yml", "localhost,", lab_state="absent", **settings)


def attempts(results: Path) -> list[AttemptRecord]:
    (only,) = runs(results)
    return [load_attempt(path) for path in sorted((only / "attempts").glob("[!.]*"))]


def until(happened: Callable[[], object]) -> None:
    """Wait for something that happens soon."""
    latest = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < latest
        time.sleep(0.05)


def has_attempts(results: Path) -> bool:
    return bool(runs(results) and attempts(results))


@contextmanager
def transport() -> Iterator[SshTransport]:
    made = SshTransport(PROJECT)
    try:
        yield made
    finally:
        made.close()


def test_five_kills_lose_nothing_repeat_nothing_and_leave_no_unit(lab: Lab, tmp_path: Path) -> None:
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


def test_a_killed_runner_leaves_no_unit_even_before_it_is_resumed(lab: Lab, tmp_path: Path) -> None:
    process = lab.begin(tmp_path, "workers=kept", "nodes=2")
    until(lambda: WORKER in lab.units())

    process.send_signal(signal.SIGKILL)
    process.communicate()

    until(lambda: not lab.units())


def test_an_unplugged_node_is_named_in_bounded_time_and_the_others_go_on(
    lab: Lab, tmp_path: Path
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
    lab: Lab, tmp_path: Path
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


def test_a_changed_host_key_is_refused_with_the_remedy(lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    lines = lab.known_hosts.read_text().splitlines()
    address = lab.cluster(1).root.address
    other = next(line for line in lines if not line.startswith(f"{address} "))
    known.write_text(f"{address} {other.split(' ', 1)[1]}\n")
    node = replace(lab.cluster(1).root, known_hosts=str(known))

    with transport() as ssh, pytest.raises(HerdError) as caught:
        ssh.open(node)

    assert ROOT in str(caught.value)
    assert "its host key is not the one in" in str(caught.value)
    assert "ssh-keygen -R" in str(caught.value)


def test_an_unknown_host_key_is_refused_and_not_added(lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    node = replace(lab.cluster(1).root, known_hosts=str(known))

    with transport() as ssh, pytest.raises(HerdError, match="is not in"):
        ssh.open(node)

    assert known.read_text() == ""


def test_a_wrong_key_is_told(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    node = replace(lab.cluster(1).root, key_file=str(key))

    with transport() as ssh, pytest.raises(HerdError, match=rf"{ROOT}.*does not accept the key"):
        ssh.open(node)


def test_a_node_without_the_helper_is_told_to_be_provisioned(lab: Lab) -> None:
    helper = "/usr/local/libexec/llama-herd/herd-node"
    lab.on(ROOT, f"mv {helper} {helper}.away")
    try:
        with transport() as ssh, pytest.raises(HerdError, match=rf"(?s){ROOT}.*provision\.yml"):
            ask_facts(lab.cluster(1), ssh)
    finally:
        lab.on(ROOT, f"mv {helper}.away {helper}")


def test_an_engine_that_is_not_installed_leaves_its_cells_unavailable(
    lab: Lab, tmp_path: Path
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


def test_a_taken_port_is_told_with_who_has_it(lab: Lab, tmp_path: Path) -> None:
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
    lab: Lab, tmp_path: Path
) -> None:
    process = lab.begin(tmp_path, "nodes=2", "workers=kept", "split_mode=layer,tensor")
    until(lambda: has_attempts(tmp_path))
    lab.on(WORKER, "pkill -STOP -f '[g]gml-rpc-server --host'")

    begun = time.monotonic()
    process.communicate(timeout=60)

    assert time.monotonic() - begun < 45, "the deadline is at 60 s"
    assert process.returncode == 0, "the trial is tried again with another worker"
    causes = [str(a.cause) for a in attempts(tmp_path) if a.outcome == "failed"]
    assert all(f"on {WORKER} was frozen" in cause for cause in causes)
    assert len(causes) == 1
    assert lab.units() == {}


def test_trials_while_a_firmware_throttles_are_kept_and_do_not_count(
    lab: Lab, tmp_path: Path
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


def test_a_process_ends_at_its_deadline_by_the_nodes_own_systemd(lab: Lab) -> None:
    server = "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"
    fields = (("unit", "herd-deadline-root"), ("deadline", "1"), ("arg", server))
    with transport() as ssh:
        link = ssh.open(lab.cluster(1).root)
        reply = ask(link, Request("run", fields))
        link.close(5.0)

    state = unit_state(reply.pairs("props"))
    assert state.result == "timeout"
    assert state.runtime_s == pytest.approx(1.0, abs=0.5)


def test_two_runners_do_not_share_a_cluster(lab: Lab, tmp_path: Path) -> None:
    with transport() as ssh:
        herd = Herd(ssh, lab.cluster(2).nodes, Owner.me())
        herd.own_all()
        code, said = lab.run(tmp_path, "nodes=2")
        herd.close()

    assert code == 1
    assert f"(process {os.getpid()}, since " in said
    assert lab.run(tmp_path, "nodes=1")[0] == 0, "it is free when its owner lets go"


def test_a_node_is_taken_over_from_a_runner_that_died_without_a_goodbye(
    lab: Lab, tmp_path: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    owner = replace(Owner.me(), pid=dead.pid)
    with transport() as ssh:
        # This connection stays, as one does whose other end lost its power.
        ask(ssh.open(lab.cluster(1).root), Request("own", (("who", owner.line()),)))

        assert lab.run(tmp_path, "nodes=1")[0] == 0


def test_engines_run_confined_as_a_user_without_rights(lab: Lab, tmp_path: Path) -> None:
    # In one command, because a trial is over soon.
    look = (
        "pid=$(pgrep -f '[g]gml-rpc-server --host' | head -n 1); stat -c %U /proc/$pid; "
        "grep -E 'NoNewPrivs|CapBnd' /proc/$pid/status; true"
    )
    seen: list[str] = []

    def saw_all() -> bool:
        seen[:] = lab.on(WORKER, look).split()
        return len(seen) == 5 and seen[0] != "root"

    process = lab.begin(tmp_path, "nodes=2", "workers=kept")
    until(saw_all)
    process.communicate()

    assert seen == ["herd", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]


def test_a_running_worker_is_fenced_in_and_comes_before_all_else(lab: Lab) -> None:
    """As far as PID 1 of the node may: in a container it has not every right."""
    unit, server = "herd-fenced-worker", "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"
    fields = (("unit", unit), ("deadline", "60"), ("port", str(RPC_PORT)), ("arg", server))
    options = (("arg", "--port"), ("arg", str(RPC_PORT)))
    look = f"""
        systemd-analyze security --no-pager {unit}.service | tail -n 1
        systemctl show -p Nice -p LimitMEMLOCK {unit}
        for pid in 1 $(systemctl show -P MainPID {unit}); do
            awk '/CapEff/ {{print $2}}' /proc/$pid/status
            awk '/Max locked memory/ {{print $5}}' /proc/$pid/limits
            awk '{{print $19}}' /proc/$pid/stat
        done"""
    with transport() as ssh:
        link = ssh.open(lab.cluster(2).nodes[1])
        ask(link, Request("start", fields + options))
        exposure, *shown, rights, lock1, nice1, none, lock, nice = lab.on(WORKER, look).splitlines()
        ask(link, Request("stop", (("unit", unit),)))

    assert float(exposure.rpartition(": ")[2].split()[0]) <= 2.0
    assert set(shown) == {"Nice=-20", "LimitMEMLOCK=infinity"}
    assert int(none, 16) == 0
    assert lock == ("unlimited" if int(rights, 16) & CAP_SYS_RESOURCE else lock1)
    assert nice == ("-20" if int(rights, 16) & CAP_SYS_NICE else nice1)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((("unit", "ssh"), ("deadline", "9"), ("arg", "/bin/true")), "does not lie below"),
        (
            (
                ("unit", "ssh"),
                ("deadline", "9"),
                ("arg", "/opt/llama-herd/engines/llama.cpp/bin/llama-bench"),
            ),
            "'ssh' is no name for a unit",
        ),
        (
            (
                ("unit", "herd-x"),
                ("deadline", "9"),
                ("arg", "/opt/llama-herd/engines/x/bin/../../../bin/sh"),
            ),
            "does not lie below",
        ),
        (
            (
                ("unit", "herd-x"),
                ("deadline", "soon"),
                ("arg", "/opt/llama-herd/engines/llama.cpp/bin/llama-bench"),
            ),
            "deadline must be a number",
        ),
    ],
)
def test_the_helper_runs_nothing_but_engines(
    lab: Lab, fields: tuple[tuple[str, str], ...], told: str
) -> None:
    root: Node = lab.cluster(1).root
    with transport() as ssh, pytest.raises(HerdError, match=told):
        ask(ssh.open(root), Request("run", fields))
