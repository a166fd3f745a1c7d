"""provision.yml on virtual nodes of its own: what it installs, repeats, refuses and repairs.

llama.cpp is the real one. distributed-llama is a double with upstream's Makefile targets, because
its source lies on a Git host that test machines cannot reach; only the role is tested with it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.lab_run import matrix, run

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
DOUBLE = PROJECT / "tests" / "doubles" / "dllama_source"
UNREACHABLE = "git://127.0.0.1:9/nobody-listens-there"
DLLAMA = "/opt/llama-herd/engines/distributed-llama"
LLAMA_CPP = "/opt/llama-herd/engines/llama.cpp"
TINY = [{"name": "synthetic:tiny", "weights": ["f32", "q4_0"]}]
LAB = {
    "lab_prefix": "prov",
    "lab_network": "llama-herd-prov",
    "lab_subnet": "10.79.0.0/24",
    "lab_nodes": 2,
    # A disk that the tiny model fits on and the small one does not.
    "lab_tmpfs": {"/opt/llama-herd/models": "120m"},
}


@dataclass(frozen=True)
class Played:
    """What a playbook did."""

    code: int
    output: str

    def changed(self) -> dict[str, int]:
        """Node to tasks that changed something."""
        found = re.findall(r"^(prov\d) +:.* changed=(\d+) ", self.output, re.MULTILINE)
        return {node: int(count) for node, count in found}

    def nodes_of(self, task: str) -> list[str]:
        """Nodes that a task changed."""
        told = self.output.partition(f": {task}")[2].partition("\nTASK [")[0]
        return re.findall(r"^changed: \[(\w+)\]", told, re.MULTILINE)

    def words(self) -> str:
        """The output with every run of blanks as one, as a reader takes it in."""
        return " ".join(self.output.split())


class Fleet:
    """Two nodes, a repository of the double, and a cache that nobody else uses."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self.repository = repository
        self.base: dict[str, Any] = {
            "distributed_llama_repo": str(repository),
            "distributed_llama_version": commit_of(repository),
            "herd_models": TINY,
        }

    def play(self, playbook: str, *flags: str, **extra: object) -> Played:
        """Run a playbook of the project on the fleet."""
        return play(
            self.folder,
            playbook,
            *(["--inventory", str(self.folder / "hosts.yml"), *flags]),
            **{**self.base, **extra},
        )

    def on(self, node: str, command: str) -> str:
        """Standard output of a shell command on a node."""
        environment = podman_environment(self.folder)
        done = subprocess.run(
            ["podman", "exec", node, "sh", "-c", command],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return done.stdout

    def address(self, node: str) -> str:
        """Address of a node in the lab."""
        inventory = yaml.safe_load((self.folder / "hosts.yml").read_text())
        return str(inventory["cluster"]["hosts"][node]["ansible_host"])

    def install(self, node: str, engine: str) -> dict[str, Any]:
        """The record of an engine on a node."""
        record: dict[str, Any] = json.loads(self.on(node, f"cat {engine}/install.json"))
        return record


def podman_environment(folder: Path) -> dict[str, str]:
    configuration = folder / "lab" / "containers.conf"
    extra = {"CONTAINERS_CONF": str(configuration)} if configuration.exists() else {}
    return {**os.environ, **extra}


def play(folder: Path, playbook: str, *flags: str, **extra: object) -> Played:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            playbook,
            *flags,
            "--extra-vars",
            json.dumps(extra),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=900,
        env={
            **os.environ,
            "LLAMA_HERD_CACHE": str(folder / "cache"),
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
            "ANSIBLE_NOCOLOR": "1",
        },
    )
    return Played(done.returncode, done.stdout)


def git(repository: Path, *arguments: str) -> str:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", "-C", str(repository), *author, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit_of(repository: Path) -> str:
    return git(repository, "rev-parse", "HEAD")


def commit_change(repository: Path, text: str) -> str:
    with (repository / "dllama.cpp").open("a") as source:
        source.write(text)
    git(repository, "commit", "--quiet", "--all", "--message=change")
    return commit_of(repository)


def write_inventory(folder: Path) -> None:
    state = json.loads((folder / "lab" / "state.json").read_text())
    hosts = {node["name"]: {"ansible_host": node["address"]} for node in state["nodes"]}
    variables = {
        **yaml.safe_load((PROJECT / "inventory" / "group_vars" / "all.yml").read_text()),
        "ansible_user": "pi",
        "ansible_ssh_private_key_file": str(folder / "lab" / "id_ed25519"),
        "herd_known_hosts": str(folder / "lab" / "known_hosts"),
        "lab_gateway": state["gateway"],
        **{f"lab_{key}": state[key] for key in ("link_mbit", "memory_mib", "cpus")},
        "node_facts_folder": str(folder / "nodes"),
    }
    inventory = {"cluster": {"hosts": hosts, "vars": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))


@pytest.fixture(scope="module")
def fleet(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("provision")
    repository = folder / "double"
    shutil.copytree(DOUBLE, repository)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=double")
    lab = {**LAB, "lab_directory": str(folder / "lab")}
    local = ("--inventory", "localhost,")
    try:
        raised = play(folder, "playbooks/lab.yml", *local, **lab, lab_state="present")
        assert raised.code == 0, raised.output
        write_inventory(folder)
        fleet = Fleet(folder, repository)
        first = fleet.play("provision.yml")
        assert first.code == 0, first.output
        yield fleet
    finally:
        play(folder, "playbooks/lab.yml", *local, **lab, lab_state="absent")


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    again = fleet.play("provision.yml")
    assert again.code == 0, again.output
    assert again.changed() == {"prov1": 0, "prov2": 0}


def test_check_mode_on_a_provisioned_fleet_announces_no_change(fleet: Fleet) -> None:
    checked = fleet.play("provision.yml", "--check")
    assert checked.code == 0, checked.output
    assert checked.changed() == {"prov1": 0, "prov2": 0}


def test_check_mode_announces_another_version_and_installs_nothing(fleet: Fleet) -> None:
    before = fleet.install("prov1", DLLAMA)
    checked = fleet.play("playbooks/engines.yml", "--check", distributed_llama_version="0" * 40)
    assert checked.code == 0, checked.output
    assert checked.changed() == {"prov1": 1, "prov2": 1}
    assert fleet.install("prov1", DLLAMA) == before


@pytest.mark.parametrize("node", ["prov1", "prov2"])
def test_the_record_names_what_is_really_there(fleet: Fleet, node: str) -> None:
    record = fleet.install(node, DLLAMA)
    assert record["installed"] is True
    assert record["commit"] == commit_of(fleet.repository)
    assert "-march=native" in record["flags"]
    assert record["compiler"].startswith("g++")
    assert record["cpu_model"]
    for name in ("dllama", "dllama-api"):
        hashed = fleet.on(node, f"sha256sum {DLLAMA}/bin/{name}").split()[0]
        assert record["binary_sha256"][name] == hashed


def test_all_nodes_of_one_cpu_model_have_the_same_build(fleet: Fleet) -> None:
    first, second = (fleet.install(node, DLLAMA) for node in ("prov1", "prov2"))
    assert first["binary_sha256"] == second["binary_sha256"]
    assert "g++" not in fleet.on("prov2", "ls /usr/bin"), "only the builder needs a compiler"


def test_llama_cpp_runs_and_tells_its_protocol(fleet: Fleet) -> None:
    record = fleet.install("prov2", LLAMA_CPP)
    assert re.fullmatch(r"\d+\.\d+\.\d+", record["protocol"])
    assert record["packages"]["llama.cpp-tools"]["sha256"]
    model = "/opt/llama-herd/models/synthetic-tiny/synthetic-tiny-f32.gguf"
    bench = f"{LLAMA_CPP}/bin/llama-bench -m {model} -p 4 -n 4 -r 1 -t 1 -o jsonl"
    measured = [json.loads(line) for line in fleet.on("prov1", bench).splitlines() if line]
    assert [line["n_gen"] for line in measured] == [0, 4]


@pytest.mark.parametrize("workers", ["fresh", "kept"])
def test_no_worker_is_touched_by_anybody_but_its_root(
    fleet: Fleet, tmp_path: Path, workers: str
) -> None:
    """The double dies of any other connection, as the real one does."""
    asked = matrix(engine="distributed-llama", weights="f32", workers=workers)
    result = run(str(fleet.folder / "hosts.yml"), tmp_path, asked)
    assert (result.counts["done"], result.exit_code) == (6, 0), result.notes
    logs = [path.read_text() for path in result.folder.rglob("prov2.worker.out")]
    assert len(logs) >= 3
    for log in logs:
        assert "⭕ NodeIndex: 0" in log
        assert "🚨" not in log


def test_models_lie_on_the_root_alone_as_their_manifest_says(fleet: Fleet) -> None:
    folder = "/opt/llama-herd/models/synthetic-tiny"
    files = json.loads(fleet.on("prov1", f"cat {folder}/manifest.json"))["files"]
    assert {Path(name).suffix for name in files} == {".gguf", ".m", ".t"}
    for name, entry in files.items():
        assert fleet.on("prov1", f"sha256sum {folder}/{name}").split()[0] == entry["sha256"]
    assert fleet.on("prov2", "ls /opt/llama-herd/models") == ""


def test_a_damaged_model_is_copied_again(fleet: Fleet) -> None:
    path = "/opt/llama-herd/models/synthetic-tiny/synthetic-tiny-f32.gguf"
    good = fleet.on("prov1", f"sha256sum {path}")
    fleet.on("prov1", f"printf x | dd of={path} bs=1 seek=1000 conv=notrunc 2>/dev/null")
    assert fleet.on("prov1", f"sha256sum {path}") != good
    assert fleet.play("playbooks/models.yml").code == 0
    assert fleet.on("prov1", f"sha256sum {path}") == good


def test_a_damaged_program_is_installed_again(fleet: Fleet) -> None:
    fleet.on("prov2", f"echo >> {DLLAMA}/bin/dllama; echo >> {LLAMA_CPP}/bin/llama-bench")
    repaired = fleet.play("playbooks/engines.yml")
    assert repaired.code == 0, repaired.output
    assert repaired.changed()["prov1"] == 0
    record = fleet.install("prov2", DLLAMA)
    hashed = fleet.on("prov2", f"sha256sum {DLLAMA}/bin/dllama").split()[0]
    assert record["binary_sha256"]["dllama"] == hashed
    assert repaired.nodes_of("Compile") == [], "the controller kept the build"


def test_models_that_do_not_fit_are_refused_before_the_disk_is_full(fleet: Fleet) -> None:
    large = [{"name": "synthetic:small", "weights": ["q4_0"]}]
    refused = fleet.play("playbooks/models.yml", herd_models=large)
    assert refused.code != 0
    assert re.search(r"need \d+ MiB below /opt/llama-herd/models on prov1", refused.words())
    assert "small" not in fleet.on("prov1", "ls /opt/llama-herd/models")


def test_an_unknown_model_is_named(fleet: Fleet) -> None:
    refused = fleet.play("playbooks/models.yml", herd_models=[{"name": "gtp4", "weights": ["f32"]}])
    assert refused.code != 0
    assert "gtp4" in refused.output
    assert "Traceback" not in refused.output


def test_another_version_is_built_once_and_installed_everywhere(fleet: Fleet) -> None:
    before = fleet.install("prov2", DLLAMA)
    commit = commit_change(fleet.repository, "// another version\nint unused;\n")
    changed = fleet.play("playbooks/engines.yml", distributed_llama_version=commit)
    assert changed.code == 0, changed.output
    assert changed.nodes_of("Compile") == ["prov1"]
    for node in ("prov1", "prov2"):
        assert fleet.install(node, DLLAMA)["commit"] == commit
        assert len(fleet.on(node, f"ls {DLLAMA}/builds").split()) == 1, "the old build is gone"
    assert fleet.install("prov2", DLLAMA)["build"] != before["build"]


def test_a_build_that_fails_is_told_with_the_compilers_words(fleet: Fleet) -> None:
    commit = commit_change(fleet.repository, "this is no C++\n")
    failed = fleet.play("playbooks/engines.yml", distributed_llama_version=commit)
    assert failed.code == 0, failed.output
    record = fleet.install("prov2", DLLAMA)
    assert record["installed"] is False
    assert "building it on prov1 failed" in record["reason"]
    assert "this" in record["reason"]


def test_without_a_route_to_its_source_one_engine_is_missing_and_the_play_goes_on(
    fleet: Fleet,
) -> None:
    wanted = {"distributed_llama_repo": UNREACHABLE, "distributed_llama_version": "f" * 40}
    first = fleet.play("provision.yml", **wanted)
    assert first.code == 0, first.output
    sentence = "distributed-llama is not installed on prov1, prov2: its source"
    assert sentence in first.words(), first.output
    assert "Connection refused" in first.words()
    for node in ("prov1", "prov2"):
        record = fleet.install(node, DLLAMA)
        assert record["installed"] is False
        assert UNREACHABLE in record["reason"]
        assert fleet.install(node, LLAMA_CPP)["installed"] is True
    again = fleet.play("provision.yml", **wanted)
    assert again.changed() == {"prov1": 0, "prov2": 0}


def test_nodes_with_different_llama_cpp_are_named(fleet: Fleet) -> None:
    edit = f'sed -i \'s/"version": "0[^"]*"/"version": "0.1.0"/\' {LLAMA_CPP}/install.json'
    fleet.on("prov2", edit)
    refused = fleet.play("playbooks/engines.yml", "--tags", "llama_cpp")
    assert refused.code != 0
    assert "0.1.0, protocol" in refused.words()
    assert "on prov2" in refused.words()


def listen(fleet: Fleet, node: str, port: int) -> None:
    """Serve files of an empty folder on a port that belongs to engines. No engine listens there."""
    server = f"python3 -m http.server {port} --directory /var/empty-of-test"
    unit = "--unit=test-listener --collect --quiet"
    fleet.on(node, f"mkdir -p /var/empty-of-test && systemd-run {unit} {server}")
    for _ in range(100):
        if fleet.on(node, f"ss -Hltn 'sport = :{port}'"):
            return
        time.sleep(0.1)
    pytest.fail(f"nothing listens on port {port} of {node}")


def is_admitted(address: str, port: int) -> bool:
    """Whether this machine, which is no node of the cluster, gets a connection.

    The firewall drops what it does not admit: such a connection is never answered.
    """
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except TimeoutError:
        return False


def test_engine_ports_are_for_nodes_alone_until_reset_takes_the_rules_away(fleet: Fleet) -> None:
    """Changes the fleet for good: the last test of this file."""
    port = 9998
    address = fleet.address("prov1")
    listen(fleet, "prov1", port)
    try:
        member = f"python3 -c \"import socket; socket.create_connection(('{address}', {port}), 2)\""
        fleet.on("prov2", member)
        assert not is_admitted(address, port)

        removed = fleet.play("playbooks/reset.yml")
        assert removed.code == 0, removed.output
        assert "llama_herd" not in fleet.on("prov1", "nft list tables")
        assert is_admitted(address, port)
    finally:
        fleet.on("prov1", "systemctl stop test-listener")
    for node in ("prov1", "prov2"):
        # A disk is mounted at the last of these: see LAB.
        left = fleet.on(node, "find /opt/llama-herd /etc/llama-herd /var/lib/llama-herd || true")
        assert left.split() == ["/opt/llama-herd", "/opt/llama-herd/models"]
        assert fleet.on(node, "getent passwd herd || true") == ""
    again = fleet.play("playbooks/reset.yml")
    assert again.changed() == {"prov1": 0, "prov2": 0}
