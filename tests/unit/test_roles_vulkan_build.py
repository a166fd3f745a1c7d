"""How distributed-llama is built a second time, for Vulkan, on a stand-in for its Makefile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = (
    Path(__file__).resolve().parents[2]
    / "roles"
    / "distributed_llama"
    / "files"
    / "build_vulkan.sh"
)
MAKEFILE = """
ifdef DLLAMA_VULKAN
SHADERS = src/nn/vulkan/one.spv
endif
%.spv: %.comp
	cp $< $@
object.o:
	echo "$(DLLAMA_VULKAN) $(MORE)" >$@
dllama dllama-api: object.o $(SHADERS)
	cp /bin/cat $@
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shaders = tmp_path / "src" / "nn" / "vulkan"
    shaders.mkdir(parents=True)
    (shaders / "one.comp").write_text("a shader\n")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    run(tmp_path, "sh", "-euc", SCRIPT.read_text(), "build_vulkan", "--jobs=2", "MORE=more")
    return tmp_path


def run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_its_objects_and_those_for_the_cpu_stay_apart(source: Path) -> None:
    run(source, "make", "MORE=more", "dllama", "dllama-api")
    assert (source / "vulkan" / "object.o").read_text() == "1 more\n"
    assert (source / "object.o").read_text() == " more\n"


@pytest.mark.parametrize("program", ["dllama-vulkan", "dllama-api-vulkan"])
def test_a_program_finds_its_shaders_wherever_it_is_started(source: Path, program: str) -> None:
    """As on a node: through the link `bin` to the folder of a build."""
    build = source / "extra"
    (source / "bin").symlink_to(build / "bin")
    shader = "src/nn/vulkan/one.spv"
    assert run(Path("/"), str(source / "bin" / program), shader) == "a shader\n"
    assert run(Path("/"), str(build / "bin" / program), "--", shader) == "a shader\n"


def test_nothing_is_there_but_the_programs_and_their_shaders(source: Path) -> None:
    extra = source / "extra"
    assert {str(p.relative_to(extra)) for p in extra.rglob("*") if p.is_file()} == {
        "bin/dllama-vulkan",
        "bin/dllama-api-vulkan",
        "vulkan/dllama",
        "vulkan/dllama-api",
        "vulkan/src/nn/vulkan/one.spv",
    }
