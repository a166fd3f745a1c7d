"""What the roles' programs do on a node: a build or a model is taken over whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.role_files import load

ROLES = Path(__file__).resolve().parents[2] / "roles"
ENGINE_STORE = ROLES / "engine_base" / "files" / "engine_store.py"
MODEL_STORE = ROLES / "model_store" / "files" / "model_store.py"
prepare_models = load("model_store/files/prepare_models.py")
PROOF = {"argv": ["worker", "--port", "{port}"], "pattern": r"server v([0-9.]+)"}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    # Programs are tried as an unprivileged user, who must be able to read them.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


def call(program: Path, node: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = {"LLAMA_HERD_ENGINES": str(node / "engines"), "LLAMA_HERD_MODELS": str(node)}
    folders["LLAMA_HERD_HELPER"] = str(node / "herd-node")
    return subprocess.run(
        [sys.executable, "-I", str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **folders},
        timeout=60,
    )


def lay(node: Path, build: str, says: str) -> None:
    folder = node / "engines" / "llama.cpp" / "builds" / build / "bin"
    folder.mkdir(parents=True)
    (folder / "worker").write_text(f"#!/bin/sh\necho {says}\nexec sleep 30\n")
    (folder / "worker").chmod(0o755)


def lay_environment(node: Path, name: str) -> Path:
    folder = node / "engines" / "llama.cpp" / "environments" / name
    folder.mkdir(parents=True)
    (folder / "package.py").write_text("code")
    return folder


def activate(node: Path, build: str, **more: object) -> subprocess.CompletedProcess[str]:
    record = {"engine": "llama.cpp", "build": build, "version": build, "proof": PROOF, **more}
    return call(ENGINE_STORE, node, "activate", json.dumps(record))


def lay_helper(node: Path, *, refuses: str = "", out: str = "", err: str = "") -> None:
    """A helper that says this of whatever it shall run; what it was asked is in `asked`."""
    (node / "herd-node").write_text(
        f"""#!{sys.executable}
import sys
def tell(end, **parts):
    for name, content in parts.items():
        sys.stdout.write(f"part {{name}} {{len(content)}}\\n{{content}}")
    sys.stdout.write(f"end {{end}}\\n")
    sys.stdout.flush()
for line in sys.stdin:
    print(line, end="", file=open({str(node / "asked")!r}, "a"))
    if line == "own\\n":
        owns = True
    if line != "\\n":
        continue
    if owns and {refuses!r}:
        tell("error own", owner="user=a", error={refuses!r})
    elif owns:
        tell("ok own")
    else:
        tell("ok run", props="Result=success\\nExecMainStatus=0\\n", out={out!r}, err={err!r})
    owns = False
"""
    )
    (node / "herd-node").chmod(0o755)


def seen(node: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(call(ENGINE_STORE, node, "probe").stdout)
    return {**told["engines"]["llama.cpp"], "free_mib": told["free_mib"]}


def test_a_build_that_runs_becomes_the_one_in_use_with_its_protocol(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    assert activate(node, "b1").returncode == 0
    found = seen(node)
    assert found["intact"] is True
    assert found["install"]["installed"] is True
    assert found["install"]["protocol"] == "8.0.0"
    program = node / "engines" / "llama.cpp" / "bin" / "worker"
    hashed = hashlib.sha256(program.read_bytes()).hexdigest()
    assert found["install"]["binary_sha256"] == {"worker": hashed}


def test_activating_the_same_build_again_changes_nothing(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    assert json.loads(activate(node, "b1").stdout)["changed"] is True
    assert json.loads(activate(node, "b1").stdout)["changed"] is False


def test_a_build_that_does_not_run_leaves_the_old_one_in_use(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    activate(node, "b1")
    lay(node, "b2", "oops")
    (node / "engines/llama.cpp/builds/b2/bin/worker").write_text("#!/bin/sh\necho oops\nexit 132\n")
    failed = activate(node, "b2")
    assert failed.returncode == 1
    assert "does not run here (exit status 132): oops" in failed.stderr
    assert seen(node)["install"]["build"] == "b1"
    assert seen(node)["intact"] is True


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a program as somebody else")
def test_a_build_is_tried_with_nobodys_groups_and_nothing_of_roots_environment(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("SUDO_USER", "somebody")
    of_root = node / "of-group-root"
    of_root.write_text("for group root")
    of_root.chmod(0o640)
    program = node / "engines/llama.cpp/builds/b1/bin/worker"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!/bin/sh\nid -u; id -G; cat {of_root}; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort"
        " | tr '\\n' ' '; umask\nexit 1\n"
    )
    program.chmod(0o755)
    said = activate(node, "b1").stderr
    assert "HOME=/nonexistent LC_ALL=C.UTF-8 PATH=/usr/bin:/bin 0077" in said
    assert "Permission denied" in said
    program.write_text("#!/bin/sh\necho uid $(id -u) groups $(id -G)\nexit 1\n")
    nobody = pwd.getpwnam("nobody")
    assert f"uid {nobody.pw_uid} groups {nobody.pw_gid}" in activate(node, "b1").stderr


def test_nothing_that_a_build_started_while_it_was_tried_is_left(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    program = node / "engines/llama.cpp/builds/b1/bin/worker"
    program.write_text('#!/bin/sh\nsleep 97 & echo "$!"; echo "RPC server v8.$!"; wait\n')
    assert activate(node, "b1").returncode == 0
    child = Path("/proc", seen(node)["install"]["protocol"].partition(".")[2], "cmdline")
    deadline = time.monotonic() + 5
    while child.exists() and b"97" in child.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or b"97" not in child.read_bytes()


def test_the_build_before_is_removed(node: Path) -> None:
    for build in ("b1", "b2"):
        lay(node, build, "RPC server v8.0.0")
        activate(node, build)
    assert [path.name for path in (node / "engines/llama.cpp/builds").iterdir()] == ["b2"]


def test_a_changed_byte_is_seen(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    (node / "engines/llama.cpp/builds/b1/library.so").write_text("code")
    activate(node, "b1")
    assert seen(node)["intact"] is True
    (node / "engines/llama.cpp/builds/b1/library.so").write_text("c0de")
    assert seen(node)["intact"] is False


def test_an_environment_is_whole_whatever_becomes_of_the_programs(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    environment = lay_environment(node, "e1")
    activate(node, "b1", environment="e1")
    assert set(seen(node)["install"]["binary_sha256"]) == {"worker", "environment"}
    assert (seen(node)["intact"], seen(node)["environment"]) == (True, "e1")
    program = node / "engines/llama.cpp/builds/b1/bin/worker"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert (seen(node)["intact"], seen(node)["environment"]) == (False, "e1")
    (environment / "package.py").write_text("c0de")
    assert (seen(node)["intact"], seen(node)["environment"]) == (False, None)


def test_the_environment_before_is_removed_and_one_in_use_is_not(node: Path) -> None:
    lay_environment(node, "e1")
    for build, environment in (("b1", "e1"), ("b2", "e1"), ("b3", "e2")):
        lay(node, build, "RPC server v8.0.0")
        if environment == "e2":
            lay_environment(node, environment)
        activate(node, build, environment=environment)
        left = [path.name for path in (node / "engines/llama.cpp/environments").iterdir()]
        assert left == [environment]


def test_a_build_may_stand_on_a_python_of_its_own_besides(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    lay_environment(node, "e1")
    python = lay_environment(node, "python-1")
    lay_environment(node, "python-0")
    activate(node, "b1", environment="e1", python="python-1")
    assert set(seen(node)["install"]["binary_sha256"]) == {"worker", "environment", "python"}
    assert (seen(node)["intact"], seen(node)["python"]) == (True, "python-1")
    left = [path.name for path in (node / "engines/llama.cpp/environments").iterdir()]
    assert sorted(left) == ["e1", "python-1"]
    (python / "package.py").write_text("c0de")
    assert (seen(node)["intact"], seen(node)["python"]) == (False, None)
    assert seen(node)["environment"] == "e1"


def test_a_build_whose_python_the_system_no_longer_has_is_seen(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    system = node / "python3.11"
    system.touch()
    (node / "engines/llama.cpp/builds/b1/python").symlink_to(system)
    activate(node, "b1")
    assert seen(node)["intact"] is True
    system.unlink()
    assert seen(node)["intact"] is False


IN_UNIT = {"argv": ["worker", "--device", "cuda"], "pattern": "^petals ([0-9])", "in_unit": True}


def test_a_build_may_be_tried_by_the_helper_where_it_will_run(node: Path) -> None:
    lay(node, "b1", "not started here")
    lay_helper(node, out="a warning\npetals 2.2, on a GPU\n")
    assert activate(node, "b1", proof=IN_UNIT).returncode == 0
    assert seen(node)["install"]["protocol"] == "2"
    program = node / "engines/llama.cpp/bin/worker"
    words = f"arg={program}\narg=--device\narg=cuda\n\n"
    assert (node / "asked").read_text().endswith(f"run\nunit=herd-proof\ndeadline=20\n{words}")
    assert json.loads(activate(node, "b1", proof=IN_UNIT).stdout)["changed"] is False


@pytest.mark.parametrize(
    ("helper", "said"),
    [
        (
            {"err": "error: no GPU\n"},
            "does not run in its unit (success, exit status 0): error: no",
        ),
        ({"refuses": "another runner owns it"}, "herd-node: another runner owns it (user=a)"),
        (None, "herd-node is not there: provision the whole node, without --tags"),
    ],
)
def test_a_build_that_does_not_run_in_its_unit_leaves_the_old_one_in_use(
    node: Path, helper: dict[str, str] | None, said: str
) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    lay(node, "b2", "RPC server v8.0.0")
    activate(node, "b1")
    if helper is not None:
        lay_helper(node, **helper)
    failed = activate(node, "b2", proof=IN_UNIT)
    assert failed.returncode == 1
    assert said in failed.stderr
    assert (seen(node)["install"]["build"], seen(node)["intact"]) == ("b1", True)


def test_a_first_build_that_does_not_run_in_its_unit_leaves_nothing(node: Path) -> None:
    lay(node, "b1", "RPC server v8.0.0")
    lay_helper(node)
    assert activate(node, "b1", proof=IN_UNIT).returncode == 1
    assert [path.name for path in (node / "engines/llama.cpp").iterdir()] == ["builds"]


def test_an_engine_that_cannot_be_had_is_recorded_once(node: Path) -> None:
    record = json.dumps({"engine": "llama.cpp", "reason": "no route"})
    first, second = (call(ENGINE_STORE, node, "refuse", record) for _ in range(2))
    assert json.loads(first.stdout)["changed"] is True
    assert json.loads(second.stdout)["changed"] is False
    assert seen(node)["install"]["installed"] is False


def lay_install(node: Path, engine: str, **record: object) -> Path:
    path = node / "engines" / engine / "install.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"engine": engine, **record}))
    return path


def test_whatever_engine_has_a_record_is_looked_at(node: Path) -> None:
    lay_install(node, "ringer", installed=False, reason="no route")
    (node / "engines" / "left-over").mkdir()
    told = json.loads(call(ENGINE_STORE, node, "probe").stdout)
    assert set(told["engines"]) == {"ringer"}
    assert told["engines"]["ringer"]["install"]["reason"] == "no route"


def test_a_node_says_which_packages_of_vulkan_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = load("engine_base/files/engine_store.py")
    (tmp_path / "one.json").touch()
    looks = {"libvulkan1": (f"{tmp_path}/*.so",), "drivers": ("/no", f"{tmp_path}/*.json")}
    monkeypatch.setattr(store, "VULKAN", looks)
    assert store.probe()["vulkan_lacks"] == ["libvulkan1"]


def test_what_engines_say_of_themselves_joins_a_record_from_before_they_did(node: Path) -> None:
    path = lay_install(node, "ringer", installed=True, flags="-O3")
    traits = {"ringer": {"format": "gguf", "arguments": {"options": ["--model"]}}}
    assert call(ENGINE_STORE, node, "describe", json.dumps(traits)).returncode == 0
    assert json.loads(path.read_text()) == {
        "engine": "ringer",
        "installed": True,
        "flags": "-O3",
        **traits["ringer"],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_installed_engines_say_which_models_they_read(node: Path) -> None:
    lay_install(node, "ringer", installed=True, format="gguf", reads_model_on_every_node=True)
    lay_install(node, "old", installed=True)
    lay_install(node, "absent", installed=False, format="gguf")
    (node / "engines" / "torn").mkdir()
    (node / "engines" / "torn" / "install.json").write_text("{")
    assert json.loads(call(MODEL_STORE, node, "probe").stdout)["engines"] == {
        "old": {"format": None, "is_read_here": False},
        "ringer": {"format": "gguf", "is_read_here": True},
    }


def test_a_format_is_built_once_whichever_engines_read_it() -> None:
    engines = {"llama.cpp": "gguf", "petals": "huggingface", "ringer": "gguf"}
    assert prepare_models.formats_of({}, engines) == ["gguf", "huggingface"]
    assert prepare_models.formats_of({"engines": ["ringer", "other"]}, engines) == ["gguf"]


def test_an_engine_that_there_is_not_gets_no_models_and_is_named(tmp_path: Path) -> None:
    wanted = [{"name": "m", "weights": ["f32"], "engines": ["lama.cpp"]}]
    options = ["--project=.", "--node={}", '--known=["llama.cpp", "petals"]']
    program = ROLES / "model_store" / "files" / "prepare_models.py"
    refused = call(program, tmp_path, *options, json.dumps(wanted), '{"llama.cpp": "gguf"}')
    assert refused.returncode == 1
    assert refused.stderr == (
        "m is wanted for the engine 'lama.cpp', which does not exist. "
        "The engines are llama.cpp, petals.\n"
    )


def test_a_model_gets_its_name_only_when_it_arrived_whole(node: Path) -> None:
    (node / "m").mkdir()
    good = {"sha256": hashlib.sha256(b"weights").hexdigest(), "size_bytes": 7}
    (node / "m" / "m-f32.gguf.part").write_bytes(b"weighty")
    damaged = call(MODEL_STORE, node, "commit", json.dumps({"m/m-f32.gguf": good}))
    assert damaged.returncode == 1
    assert "arrived damaged" in damaged.stderr
    assert list((node / "m").iterdir()) == []
    (node / "m" / "m-f32.gguf.part").write_bytes(b"weights")
    assert call(MODEL_STORE, node, "commit", json.dumps({"m/m-f32.gguf": good})).returncode == 0
    manifest = json.loads((node / "m" / "manifest.json").read_text())
    assert manifest["files"]["m-f32.gguf"]["sha256"] == good["sha256"]
    told = json.loads(call(MODEL_STORE, node, "probe").stdout)
    assert told["files"] == {"m/m-f32.gguf": good["sha256"]}


def test_a_model_changed_behind_the_manifests_back_is_hashed_again(node: Path) -> None:
    (node / "m").mkdir()
    entry = {"sha256": hashlib.sha256(b"weights").hexdigest(), "size_bytes": 7}
    (node / "m" / "m.t.part").write_bytes(b"weights")
    call(MODEL_STORE, node, "commit", json.dumps({"m/m.t": entry}))
    (node / "m" / "m.t").write_bytes(b"weighty")
    told = json.loads(call(MODEL_STORE, node, "probe").stdout)
    assert told["files"]["m/m.t"] == hashlib.sha256(b"weighty").hexdigest()
