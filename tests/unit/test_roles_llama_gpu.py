"""llama.cpp's role for nodes with a GPU: who gets which packages, and where a backend lies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.debian import DebianError, Suite
from tests.doubles.fake_hosts import failures, play
from tests.doubles.role_files import PROJECT

sys.path.insert(0, str(PROJECT / "roles" / "llama_cpp" / "files"))
import debian_bundle
import debian_gpu_bundle

FILES = PROJECT / "roles" / "llama_cpp" / "files"
LIBRARY = "usr/lib/x86_64-linux-gnu"
MIRROR = Suite("http://mirror.example/debian", "sid", "main contrib non-free")


def lay(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """What a node with a GPU for Vulkan gets."""
    programs = [f"usr/bin/{name}" for name in debian_bundle.PROGRAMS]
    common = lay(
        tmp_path / "root",
        *programs,
        f"{LIBRARY}/ggml/backends0/libggml-rpc.so",
        f"{LIBRARY}/ggml/backends0/libggml-cpu-x64.so",
        f"{LIBRARY}/libggml.so.0",
        f"{LIBRARY}/ld-linux-x86-64.so.2",
    )
    backend = lay(
        tmp_path / "backend",
        f"{LIBRARY}/ggml/backends0/libggml-vulkan.so",
        f"{LIBRARY}/libvulkan.so.1",
    )
    (tmp_path / "staging").mkdir()
    debian_bundle.lay_out(common, tmp_path / "staging", "b1")
    debian_gpu_bundle.add_backend(backend, tmp_path / "staging", "vulkan", "b1")
    return tmp_path / "staging"


def test_each_program_is_there_for_the_cpu_and_for_the_gpu(staging: Path) -> None:
    found = {path.name: path.read_text() for path in (staging / "bin").iterdir()}
    assert set(found) == {
        *debian_bundle.PROGRAMS,
        *(f"{name}-vulkan" for name in debian_bundle.PROGRAMS),
    }
    for name in debian_bundle.PROGRAMS:
        assert "vulkan" not in found[name]
        assert "/lib/ggml-vulkan/ld.so --library-path " in found[f"{name}-vulkan"]


def test_the_loader_of_a_program_for_the_cpu_has_no_gpu_beside_it(staging: Path) -> None:
    """Ggml looks for backends in the folder that the link /proc/self/exe leads to."""
    beside = {path.name for path in (staging / "lib" / "ggml").iterdir()}
    assert beside == {"ld.so", "libggml-rpc.so", "libggml-cpu-x64.so"}
    folder = staging / "lib" / "ggml-vulkan"
    assert {path.name for path in folder.iterdir()} == {
        *beside,
        "libggml-vulkan.so",
        "libvulkan.so.1",
    }
    assert not (folder / "ld.so").is_symlink()
    assert (folder / "libggml-rpc.so").read_text() == f"{LIBRARY}/ggml/backends0/libggml-rpc.so"
    assert not (folder / "libggml-rpc.so").readlink().is_absolute()


class _Apt:
    """Apt with a mirror that has some packages."""

    def __init__(self, words: str) -> None:
        self._words = words

    def with_dependencies(self, packages: tuple[str, ...]) -> list[Path]:
        if packages != debian_bundle.PACKAGES and self._words:
            raise DebianError(f"apt-get: {self._words}")
        return [Path(f"{name}.deb") for name in packages]


def test_what_a_backend_needs_besides_is_told_from_what_all_nodes_get() -> None:
    common, more = debian_gpu_bundle.fetch(_Apt(""), "vulkan", MIRROR)
    assert [path.stem for path in common] == list(debian_bundle.PACKAGES)
    assert [path.stem for path in more] == ["libggml0-backend-vulkan"]


@pytest.mark.parametrize(
    "words",
    [
        "E: Unable to locate package libggml0-backend-cuda",
        "E: Package 'libggml0-backend-cuda' has no installation candidate",
    ],
)
def test_a_mirror_without_the_backend_is_named_in_one_sentence(words: str) -> None:
    with pytest.raises(DebianError) as refused:
        debian_gpu_bundle.fetch(_Apt(words), "cuda", MIRROR)
    assert str(refused.value) == (
        "http://mirror.example/debian has no libggml0-backend-cuda in sid (main contrib non-free): "
        "name a mirror that has it in llama_cpp_debian_mirror"
    )


def test_cuda_for_another_architecture_is_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    options = ["--architecture=arm64", "--gpu=cuda", f"--cache={tmp_path / 'cache'}"]
    asked = subprocess.run(
        [sys.executable, str(FILES / "debian_gpu_bundle.py"), *options],
        capture_output=True,
        text=True,
        check=True,
    )
    reason = json.loads(asked.stdout)["reason"]
    assert reason == "Debian has libggml0-backend-cuda for amd64 alone"
    assert not (tmp_path / "cache").exists()


def probed(architecture: str) -> dict[str, Any]:
    told = {"architecture": architecture, "cpu_key": "k", "compiler": None, "engines": {}}
    return {
        "engine_base_probe": {"stdout_lines": [json.dumps(told)]},
        "llama_cpp_method": "debian",
        "llama_cpp_refresh": False,
    }


def values(
    tmp_path: Path,
    hosts: dict[str, Any],
    shown: dict[str, str],
    tasks: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """What variables of both roles are on each host, after some tasks."""
    roles: list[dict[str, Any]] = [
        # For its filters; nothing of it is done.
        {
            "ansible.builtin.import_role": {"name": "engine_base", "tasks_from": "vulkan"},
            "when": False,
        },
        *(
            {"ansible.builtin.include_vars": str(PROJECT / "roles" / file / "main.yml")}
            for file in ("engine_base/vars", "llama_cpp/vars")
        ),
        *tasks,
    ]
    account = play(tmp_path, hosts, [*roles, {"ansible.builtin.debug": {"msg": shown}}])
    assert failures(account) == {}
    told = account["plays"][0]["tasks"][-1]["hosts"]
    return {host: result["msg"] for host, result in told.items()}


def test_each_kind_of_node_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path))
    hosts = {
        "desk": {**probed("amd64"), "herd_gpu": "cuda"},
        "pi": probed("arm64"),
        "old": {**probed("amd64"), "herd_gpu": "none"},
        "other": {**probed("amd64"), "herd_gpu": "cuda", "llama_cpp_gpu": "vulkan"},
        "more": {**probed("amd64"), "llama_cpp_gpu": "vulkan"},
        # Its backend could not be had a moment ago.
        "broken": {**probed("arm64"), "herd_gpu": "vulkan", "llama_cpp_without_gpu": "no mirror"},
    }
    shown = {"fetching": "{{ llama_cpp_to_fetch }}", "group": "{{ llama_cpp_group.nodes }}"}
    told = values(tmp_path, hosts, shown)
    assert told["pi"]["fetching"] == [
        {"architecture": "amd64", "gpu": "cuda"},
        {"architecture": "arm64", "gpu": "none"},
        {"architecture": "amd64", "gpu": "none"},
        {"architecture": "amd64", "gpu": "vulkan"},
    ]
    assert told["pi"]["group"] == ["pi", "broken"]
    assert told["more"]["group"] == ["other", "more"]


def test_what_is_compiled_for_cuda_is_for_the_gpus_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path))
    cuda = {**probed("amd64"), "herd_gpu": "cuda"}
    hosts = {
        "desk": {**cuda, "llama_cpp_gpu_architectures": "86,89"},
        "same": {**cuda, "llama_cpp_gpu_architectures": "86,89"},
        "other": {**cuda, "llama_cpp_gpu_architectures": "120"},
        "asked": {
            **cuda,
            "llama_cpp_capabilities": {"stdout_lines": ["8.9", "8.6", "8.6", "[N/A]"]},
        },
    }
    shown = {"group": "{{ llama_cpp_group.nodes }}", "known": "{{ llama_cpp_known }}"}
    told = values(tmp_path, hosts, shown)
    assert told["desk"]["group"] == ["desk", "same"]
    assert told["other"] == {"group": ["other"], "known": []}
    assert told["asked"]["known"] == ["86", "89"]


def test_what_is_compiled_for_a_gpu_is_compiled_again_when_its_script_has_changed(
    tmp_path: Path,
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "build_gpu.sh").write_text("changed")
    vulkan = {**probed("amd64"), "herd_gpu": "vulkan"}
    hosts = {"desk": {**vulkan, "llama_cpp_method": "source"}, "packaged": vulkan}
    assert values(tmp_path, hosts, {"wish": "{{ llama_cpp_wish }}"}) == {
        "desk": {"wish": {"gpu": "vulkan", "gpu_build": sha256(b"changed").hexdigest()[:12]}},
        "packaged": {"wish": {"gpu": "vulkan"}},
    }


def test_all_likes_of_a_builder_that_failed_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "build_gpu.sh").touch()
    # So each node is asked after the one before it has fallen back.
    monkeypatch.setenv("ANSIBLE_FORKS", "1")
    source: dict[str, Any] = {"version": "1", "commit": "c", "programs": []}
    one = {
        **probed("amd64"),
        **{f"llama_cpp_source_{name}": value for name, value in source.items()},
        "herd_gpu": "vulkan",
        "llama_cpp_method": "source",
    }
    failed = {"engine_base_failed": {"llama.cpp": "no glslc"}}
    hosts = {"desk": {**one, **failed}, **{f"twin{number}": one for number in range(2)}}
    told = yaml.safe_load((PROJECT / "roles/llama_cpp/tasks/source.yml").read_text())
    tasks = [task for task in told if "ansible.builtin.set_fact" in task]
    shown = {"reason": "{{ llama_cpp_without_gpu | default('') }}"}
    seen = values(tmp_path, hosts, shown, tasks)
    assert {host: said["reason"] for host, said in seen.items()} == dict.fromkeys(hosts, "no glslc")


def test_a_gpu_that_does_not_work_has_a_reason_whatever_the_helper_said(tmp_path: Path) -> None:
    told = {"backend": "vulkan", "devices": [], "proof": False, "reason": "There is no driver."}
    replies = {
        "broken": ["part gpu 99", json.dumps(told), "end ok gpu"],
        "refused": ["part error 36", "there is no GPU 3 for vulkan hereend error gpu"],
        "silent": [],
    }
    hosts = {
        host: {"engine_base_gpu_proof": {"stdout_lines": said}} for host, said in replies.items()
    }
    assert values(tmp_path, hosts, {"reason": "{{ engine_base_gpu_reason }}"}) == {
        "broken": {"reason": "There is no driver."},
        "refused": {"reason": "it could not be tried (there is no GPU 3 for vulkan here)."},
        "silent": {"reason": "it could not be tried (no answer)."},
    }
