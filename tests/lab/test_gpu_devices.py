"""Which units see a GPU, on a node whose container may fence them as a real node does.

Nodes of the lab may not make namespaces, so there every unit sees all of /dev. This one may. It has
plain devices of the kernel under the names of NVIDIA's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest

from core.packing import packed
from tests.lab.virtual_lab import PROJECT, ROOT, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ENGINES = "/opt/llama-herd/engines"
HELPER = PROJECT / "roles" / "node_base" / "files" / "herd_node"
STORE = PROJECT / "roles" / "engine_base" / "files" / "engine_store.py"
PREPARE = f"""
useradd --system herd
mkdir -p /usr/local/libexec/llama-herd /var/lib/llama-herd/attempts /etc/llama-herd {ENGINES}
touch /etc/llama-herd/firewall.off
mknod -m 666 /dev/nvidia0 c 1 5
mknod -m 660 /dev/nvidia-uvm c 1 8
chgrp video /dev/nvidia-uvm
mknod -m 666 /dev/sdz b 254 0
ln -s sdz /dev/nvidia1
mknod -m 660 /dev/nvidia2 c 1 5
chgrp disk /dev/nvidia2
"""
LOOK = """#!/bin/sh
for name in nvidia0 nvidia1 nvidia2 nvidia-uvm sdz zero; do
    if [ ! -e /dev/$name ]; then echo $name hidden
    elif head -c 1 /dev/$name >/dev/null; then echo $name opened
    else echo $name refused
    fi
done
"""
ASK = """
import subprocess, sys
helper = subprocess.Popen(
    ["/usr/local/libexec/llama-herd/herd-node", "serve"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
wish = "".join("\\n" + word for word in sys.argv[2:])
for request in ("own", "run\\nunit=herd-look\\ndeadline=20\\narg=" + sys.argv[1] + wish):
    helper.stdin.write(request.encode() + b"\\n\\n")
    helper.stdin.flush()
    while not (line := helper.stdout.readline()).startswith(b"end"):
        name, size = line.split()[1:]
        content = helper.stdout.read(int(size)).decode()
        if name in (b"out", b"error"):
            print(content)
"""
DEVICES = ("nvidia0", "nvidia1", "nvidia2", "nvidia-uvm", "sdz")
HIDDEN = {**dict.fromkeys(DEVICES, "hidden"), "zero": "opened"}
FIRST = {
    **dict.fromkeys(DEVICES, "refused"),
    **dict.fromkeys(("nvidia0", "nvidia-uvm", "zero"), "opened"),
}
"""The rest is another GPU, one that is for a group of disks, a link to a disk, and a disk."""


NO_OPTIONS = {"arguments": {"options": [], "flags": [], "texts": []}}
"""What a record says of an engine whose programs get none."""


class Fenced:
    """A node beside the lab's, from the same image."""

    def __init__(self, lab: VirtualLab, name: str) -> None:
        self._lab, self._name = lab, name

    def sh(self, command: str, given: str = "") -> str:
        """What a shell command prints there."""
        return self._lab.on(self._name, command, given=given)

    def place(self, path: str, content: str) -> None:
        """Write a program."""
        self.sh(f"mkdir -p $(dirname {path}); cat >{path}; chmod 755 {path}", content)

    def install(self, engine: str, record: Mapping[str, object]) -> None:
        """Write what a role leaves on a node that has an engine."""
        self.sh(f"cat >{ENGINES}/{engine}/install.json", json.dumps({**NO_OPTIONS, **record}))

    def activate(self, build: str, gpu: str | None) -> str:
        """Have a build of Petals tried as the role has it tried; what that says."""
        proof = {"argv": ["petals-check"], "pattern": "^petals 2", "in_unit": True}
        record = {"engine": "petals", "build": build, "gpu": gpu, **NO_OPTIONS}
        record["proof"] = proof
        call = f"python3 -I -B - activate '{json.dumps(record)}' 2>&1 || true"
        return self.sh(call, STORE.read_text())


@pytest.fixture(scope="module")
def node(lab: VirtualLab) -> Iterator[Fenced]:
    image = lab.podman("inspect", ROOT, "--format", "{{.ImageName}}").strip()
    name = f"fenced-{uuid4().hex[:8]}"
    allowed = ["--cap-add=SYS_ADMIN", "--security-opt=unmask=ALL"]
    allowed += ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
    started = ["--detach", "--systemd=always", "--network=none", "--pull=never", *allowed]
    lab.podman("run", *started, f"--name={name}", image)
    try:
        made = Fenced(lab, name)
        until = time.monotonic() + 60
        while "running" not in made.sh("systemctl is-system-running || true"):
            assert time.monotonic() < until
            time.sleep(0.2)
        made.sh(PREPARE)
        made.place("/usr/local/libexec/llama-herd/herd-node", packed("herd_node", HELPER))
        yield made
    finally:
        lab.podman("rm", "--force", "--time=0", name)


@pytest.mark.parametrize("engine", ["petals", "llama.cpp"])
@pytest.mark.parametrize(
    ("record", "wish", "expected"),
    [
        ({"gpu": "cuda", "build": "b"}, ["gpu=cuda"], FIRST),
        ({"gpu": "cuda", "build": "b"}, [], HIDDEN),
        ({"gpu": "cuda", "build": "b"}, ["gpu=vulkan"], "built for vulkan"),
        ({"gpu": None, "build": "b"}, ["gpu=cuda"], "built for cuda"),
        ({"method": "cuda", "build": "b"}, ["gpu=cuda"], "built for cuda"),
        ({"gpu": "cuda", "build": "b"}, ["gpu=cuda", "gpu_index=9"], "no GPU 9 for cuda"),
    ],
    ids=str,
)
def test_a_unit_sees_the_gpu_that_it_asks_for_and_its_engine_was_built_for(
    node: Fenced,
    engine: str,
    record: Mapping[str, object],
    wish: list[str],
    expected: Mapping[str, str] | str,
) -> None:
    program = f"{ENGINES}/{engine}/bin/look"
    node.place(program, LOOK)
    node.install(engine, record)
    told = node.sh(f"python3 -I -B - {program} {' '.join(wish)}", ASK)
    if isinstance(expected, str):
        assert expected in told
    else:
        words = told.split()
        assert dict(zip(words[::2], words[1::2], strict=True)) == expected
    node.sh(f"rm -r {ENGINES}/{engine}")


@pytest.mark.parametrize(
    ("gpu", "device", "exposure"),
    [
        (None, "nvidia0", 1.8),
        ("cuda", "nvidia0", 2.0),
        ("vulkan", "nvidia0", 2.0),
        ("vulkan", "no", 1.8),
    ],
)
def test_a_unit_is_rated_as_the_docs_say(
    node: Fenced, gpu: str | None, device: str, exposure: float
) -> None:
    """On a machine without a GPU, Vulkan computes in software: its unit sees no device."""
    program = f"{ENGINES}/llama.cpp/bin/sleeper"
    node.place(program, "#!/bin/sh\nexec sleep 2\n")
    node.place("/opt/ask", ASK)
    node.install("llama.cpp", {"gpu": gpu, "build": "b"})
    hide = "" if device == "nvidia0" else "mkdir /hidden; mv /dev/nvidia* /hidden"
    show = "" if device == "nvidia0" else "mv /hidden/* /dev"
    rate = f"""
        {hide}
        python3 -I -B /opt/ask {program} {f"gpu={gpu}" if gpu else ""} >/dev/null &
        timeout 20 sh -c 'until systemctl is-active --quiet herd-look; do sleep 0.05; done'
        systemd-analyze security --no-pager herd-look.service | tail -n 1
        wait
        {show}"""
    rated = node.sh(rate)
    assert float(rated.rpartition(": ")[2].split()[0]) == exposure
    node.sh(f"rm -r {ENGINES}/llama.cpp")


def test_a_build_is_tried_in_its_unit_and_what_was_there_stays_where_it_fails(
    node: Fenced,
) -> None:
    check = (
        "#!/bin/sh\nif [ -e /dev/nvidia0 ]; then echo petals 2; else echo no GPU >&2; exit 1; fi\n"
    )
    node.place(f"{ENGINES}/petals/builds/b1/bin/petals-check", check)
    failed = node.activate("b1", None)
    assert "petals-check does not run in its unit (exit-code, exit status 1): no GPU" in failed
    assert node.sh(f"ls {ENGINES}/petals").split() == ["builds"]

    assert json.loads(node.activate("b1", "cuda"))["install"]["installed"] is True
    node.place(f"{ENGINES}/petals/builds/b2/bin/petals-check", check)
    assert "no GPU" in node.activate("b2", None)
    record = json.loads(node.sh(f"cat {ENGINES}/petals/install.json"))
    assert (record["build"], record["gpu"], record["installed"]) == ("b1", "cuda", True)
    assert node.sh(f"readlink {ENGINES}/petals/bin").strip() == "builds/b1/bin"
