"""provision.yml on virtual nodes of its own: what it installs, repeats, refuses and repairs.

llama.cpp is the real one. distributed-llama is a double with upstream's Makefile targets, because
its source lies on a Git host that test machines cannot reach; only the role is tested with it.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.virtual_lab import DOUBLE, RELEASES, Played, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

UNREACHABLE = "git://127.0.0.1:9/nobody-listens-there"
DLLAMA = "/opt/llama-herd/engines/distributed-llama"
LLAMA_CPP = "/opt/llama-herd/engines/llama.cpp"
TINY = [{"name": "synthetic:tiny", "weights": ["f32", "q4_0"]}]
# A disk that the tiny model fits on and the small one does not.
SMALL_DISK = {"/opt/llama-herd/models": "120m"}
ONE_RELEASE = RELEASES[:1]
"""Of both nodes: what is built once is built for one system."""


@dataclass(frozen=True)
class Fleet(VirtualLab):
    """Two nodes, and a repository of the double."""

    base: Mapping[str, object] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return repository_in(self.folder)

    def play(self, playbook: str, *flags: str, **extra: object) -> Played:
        """Run a playbook of the project on the fleet."""
        return super().play(playbook, *flags, **{**self.base, **extra})

    def install(self, node: str, engine: str) -> dict[str, Any]:
        """The record of an engine on a node."""
        record: dict[str, Any] = json.loads(self.on(node, f"cat {engine}/install.json"))
        return record


def repository_in(folder: Path) -> Path:
    return folder / "double"


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


@pytest.fixture(scope="module")
def fleet(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("provision")
    repository = repository_in(folder)
    shutil.copytree(DOUBLE, repository)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=double")
    made = Fleet(
        folder,
        "prov",
        "10.79.0.0/24",
        2,
        {"lab_tmpfs": SMALL_DISK, "lab_release": ONE_RELEASE},
        {"LLAMA_HERD_CACHE": str(folder / "cache")},
        {
            "distributed_llama_repo": str(repository),
            "distributed_llama_version": commit_of(repository),
            "herd_models": TINY,
        },
    )
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.provision()
        yield made
    finally:
        made.down()


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


def forget(fleet: Fleet, engine: str) -> None:
    """Take from an engine's record on each node what records did not say before engines said it."""
    said = ("format", "reads_model_on_every_node", "arguments")
    for node in ("prov1", "prov2"):
        record = fleet.install(node, engine)
        before = {name: value for name, value in record.items() if name not in said}
        fleet.on(node, f"cat >{engine}/install.json", given=json.dumps(before))


def test_a_record_from_before_engines_said_anything_is_brought_up_to_date(fleet: Fleet) -> None:
    whole = fleet.install("prov2", LLAMA_CPP)
    assert whole["arguments"]["texts"] == ["--prompt"]
    assert fleet.install("prov2", DLLAMA)["flags"] == "-march=native"
    forget(fleet, LLAMA_CPP)
    refused = fleet.play("playbooks/models.yml")
    assert refused.code != 0
    assert "records of llama.cpp on prov1 (install.json) do not say which models" in refused.words()
    updated = fleet.play("provision.yml")
    assert updated.code == 0, updated.output
    assert updated.changed() == {"prov1": 1, "prov2": 1}
    assert fleet.install("prov2", LLAMA_CPP) == whole


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
        # A disk is mounted at the last of these: see SMALL_DISK.
        left = fleet.on(node, "find /opt/llama-herd /etc/llama-herd /var/lib/llama-herd || true")
        assert left.split() == ["/opt/llama-herd", "/opt/llama-herd/models"]
        assert fleet.on(node, "getent passwd herd || true") == ""
    again = fleet.play("playbooks/reset.yml")
    assert again.changed() == {"prov1": 0, "prov2": 0}
