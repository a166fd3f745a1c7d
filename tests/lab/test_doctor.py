"""`fab doctor` on virtual nodes with traps laid for it, and one node that does not exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.virtual_lab import PROJECT, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FIRST, SECOND, ABSENT = "doc1", "doc2", "10.86.0.250"
CONDA = "/home/pi/miniconda3/envs/llm"
LAY_CONDA = f"""
mkdir -p {CONDA}/bin
printf '#!/bin/sh\\necho "Cuda compilation tools, release 12.4, V12.4.131"\\n' > {CONDA}/bin/nvcc
chmod +x {CONDA}/bin/nvcc
"""
LAY_TORCH = """
packages=/home/pi/venv/lib/python3.11/site-packages
mkdir -p $packages/torch $packages/bitsandbytes $packages/bitsandbytes-0.41.1.dist-info
touch /home/pi/venv/pyvenv.cfg $packages/bitsandbytes/libbitsandbytes_cuda121.so
printf '__version__ = "2.6.0"\\ncuda = "12.4"\\n' > $packages/torch/version.py
"""


@pytest.fixture(scope="module")
def lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    """A node with a toolkit only inside Conda, and one with a PyTorch that is too new."""
    made = VirtualLab(tmp_path_factory.mktemp("doctor"), "doc", "10.86.0.0/24", 2)
    try:
        raised = made.up()
        assert raised.code == 0, raised.output
        made.on(FIRST, LAY_CONDA)
        made.on(SECOND, LAY_TORCH)
        yield made
    finally:
        made.down()


def doctor(inventory: str, *flags: str) -> subprocess.CompletedProcess[str]:
    fab = str(Path(sys.executable).with_name("fab"))
    return subprocess.run(
        [fab, "doctor", "--inventory", inventory, *flags],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )


def test_traps_are_named_and_a_node_that_is_not_there_stops_nothing(
    lab: VirtualLab, tmp_path: Path
) -> None:
    content = yaml.safe_load(Path(lab.inventory).read_text())
    content["cluster"]["hosts"]["gone"] = {"ansible_host": ABSENT}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump(content, sort_keys=False))

    done = doctor(str(inventory), "--json")

    assert (done.returncode, done.stderr) == (1, "")
    conda, torch, gone = json.loads(done.stdout)["nodes"]
    assert f"exists only inside Conda ({CONDA})" in worded(conda, "warning")
    assert "PyTorch 2.6.0 is too new, built for CUDA 12.4" in worded(torch, "warning")
    assert "Connecting to gone" in worded(gone, "problem")
    for node, other in ((conda, torch), (torch, conda)):
        assert worded(node, "problem") == ""
        assert f"Reaches SSH of {other['node']};" in worded(node, "ok")
        assert node["facts"]["base"]["memory_mib"] == 2048
        assert abs(node["clock_offset_s"]) < 0.5, "nodes of a lab have uses its host's clock"


def test_becoming_root_and_an_address_of_another_node_are_looked_at(
    lab: VirtualLab, tmp_path: Path
) -> None:
    content = yaml.safe_load(Path(lab.inventory).read_text())
    hosts = content["cluster"]["hosts"]
    hosts[SECOND]["herd_cluster_address"] = hosts[FIRST]["ansible_host"]
    (inventory := tmp_path / "hosts.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    lab.on(SECOND, "echo 'Defaults requiretty' >/etc/sudoers.d/terminal")
    try:
        done = doctor(str(inventory), "--json")
    finally:
        lab.on(SECOND, "rm /etc/sudoers.d/terminal")

    first, second = json.loads(done.stdout)["nodes"]
    assert "sudo makes this account root without a password" in worded(first, "ok")
    assert "sudo requires a terminal (requiretty)" in worded(second, "problem")
    assert "it is also an address of this node" in worded(first, "problem")
    assert "None of its interfaces has" in worded(second, "problem")


def worded(node: dict[str, Any], verdict: str) -> str:
    findings = (one for one in node["findings"] if one["verdict"] == verdict)
    return " ".join(one["sentence"] for one in findings)


def test_it_changes_nothing_on_a_node_and_warnings_alone_are_no_failure(lab: VirtualLab) -> None:
    lab.on(FIRST, "touch -d '1 second' /tmp/before; sleep 1.1")

    done = doctor(lab.inventory, "--limit", FIRST)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FIRST}  ")
    assert done.stdout.endswith("1 node: 0 problems, 1 warning.\n")
    changed = lab.on(FIRST, "find / -xdev -newer /tmp/before -not -type d")
    # What the SSH server and systemd themselves write at a login is theirs.
    theirs = ("/run/", "/var/log/")
    assert [path for path in changed.split() if not path.startswith(theirs)] == []
