"""What the doctor's probe tells of prepared machines: folders with the files that matter."""

from __future__ import annotations

import ast
import os
import pwd
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.packing import modules_of
from experiments.doctor.ask import CutShortError, run_probe
from experiments.doctor.facts import Facts
from experiments.doctor.probe.conda import closed_homes
from experiments.doctor.probe.cuda import cuda
from experiments.doctor.probe.machine import machine, wsl
from experiments.doctor.probe.main import machine_facts
from experiments.doctor.probe.network import network
from experiments.doctor.probe.peers import ITSELF, greeting, peers
from experiments.doctor.program import COMMAND, PACKAGE, program
from tests.doubles.doctor_place import HOME, prepared

WSL_KERNEL = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc 11.2.0)"
ELF_64, ELF_32 = b"\x7fELF\x02", b"\x7fELF\x01"


@pytest.mark.parametrize(
    ("files", "virtual", "kind"),
    [
        ({"/proc/version": WSL_KERNEL}, "wsl", "wsl2"),
        ({"/proc/version": "Linux version 4.4.0-19041-Microsoft (Microsoft@x)"}, "wsl", "wsl1"),
        ({"/proc/version": WSL_KERNEL}, "docker", "container"),
        (
            {
                "/proc/version": "Linux version 6.12.25+rpt-rpi-v8",
                "/sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.5\0",
            },
            "none",
            "pi",
        ),
        ({"/proc/version": "Linux version 6.1.0-28-amd64"}, "none", "native"),
    ],
)
def test_the_kind_of_machine_is_told_by_its_kernel_its_board_and_its_container(
    tmp_path: Path, files: dict[str, Any], virtual: str, kind: str
) -> None:
    assert machine(prepared(tmp_path, files, systemd_detect_virt=virtual))["kind"] == kind


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ("    (ALL : ALL) ALL\n    (ALL) NOPASSWD: ALL\n", True),
        ("    (root) NOPASSWD: SETENV: ALL\n", True),
        ("    (ALL) NOPASSWD: /usr/bin/apt, ALL\n", True),
        ("    (ALL : ALL) ALL\n    (root) NOPASSWD: /usr/local/libexec/x/herd-node\n", False),
        ("    (ALL) NOPASSWD: /opt/INSTALL\n", False),
        (None, None),
    ],
)
def test_whether_sudo_asks_for_a_password_is_read_from_its_rules(
    tmp_path: Path,
    rules: str | None,
    answer: bool | None,  # noqa: FBT001 - pytest gives it by name
) -> None:
    said = {} if rules is None else {"sudo": rules}
    assert machine(prepared(tmp_path, {}, **said))["root_without_password"] is answer


@pytest.mark.parametrize(
    ("shell", "architecture", "bits"), [(ELF_32, "armhf", 32), (ELF_64, "arm64", 64)]
)
def test_the_width_is_that_of_programs_whatever_the_kernel_is(
    tmp_path: Path, shell: bytes, architecture: str, bits: int
) -> None:
    status = (
        "Package: adduser\nStatus: install ok installed\nArchitecture: all\n\n"
        f"Package: dpkg\nStatus: install ok installed\nArchitecture: {architecture}\n"
    )
    told = machine(prepared(tmp_path, {"/bin/sh": shell, "/var/lib/dpkg/status": status}))

    assert (told["userland_bits"], told["dpkg_architecture"]) == (bits, architecture)


def test_wsl_tells_its_networking_its_version_and_what_windows_forwards(tmp_path: Path) -> None:
    table = (
        "\r\nListen on ipv4:             Connect to ipv4:\r\n\r\n"
        "Address         Port        Address         Port\r\n"
        "--------------- ----------  --------------- ----------\r\n"
        "0.0.0.0         9990        172.29.112.5    9990\r\n"
    )
    files = {"/proc/version": WSL_KERNEL, "/usr/lib/wsl/lib/libcuda.so.1": ""}

    told = wsl(prepared(tmp_path, files, wslinfo="nat", netsh=table))

    assert told is not None
    assert told["networking"] == "nat"
    assert told["forwards"] == [{"port": 9990, "to_address": "172.29.112.5", "to_port": 9990}]
    assert (told["windows_libcuda"], told["linux_libcuda"]) == (True, [])


def test_wsl_that_tells_nothing_leaves_it_open(tmp_path: Path) -> None:
    told = wsl(prepared(tmp_path, {"/proc/version": WSL_KERNEL}))

    assert told is not None
    assert (told["version"], told["networking"], told["forwards"]) == (None, None, None)


def test_elsewhere_there_is_no_wsl(tmp_path: Path) -> None:
    assert wsl(prepared(tmp_path, {"/proc/version": "Linux version 6.1.0-28-amd64"})) is None


def test_a_toolkit_inside_conda_is_seen_by_the_login_shell_alone(tmp_path: Path) -> None:
    conda = f"{HOME}/miniconda3/envs/llm"
    files = {
        f"{conda}/bin/nvcc": "#!/bin/sh\necho 'Build cuda_12.4.r12.4, V12.4.131'\n",
        f"{conda}/lib/libcudart.so.12": "",
        f"{HOME}/.profile": ". ~/.bashrc\n",
        f"{HOME}/.bashrc": "echo welcome\nPATH=$HOME/miniconda3/envs/llm/bin:$PATH\n"
        "export CONDA_PREFIX=$HOME/miniconda3/envs/llm\n",
    }

    told = cuda(prepared(tmp_path, files))

    assert told["toolkits"] == [
        {"path": conda, "conda": True, "compiler": True, "version": "12.4.131"}
    ]
    assert told["nvcc_plain"] is None
    assert told["login"]["nvcc"] == f"{conda}/bin/nvcc"
    assert told["login"]["conda_prefix"] == conda
    assert told["login"]["ld_library_path"] is None
    assert told["loader_libcudart"] == []


def test_a_login_shell_that_finds_no_compiler_is_still_heard(tmp_path: Path) -> None:
    told = cuda(
        prepared(tmp_path, {f"{HOME}/.profile": "PATH=/no; export LD_LIBRARY_PATH=/opt/cuda/lib\n"})
    )

    assert told["login"] == {
        "nvcc": None,
        "conda_prefix": None,
        "ld_library_path": "/opt/cuda/lib",
    }


def test_the_systems_toolkit_is_one_however_many_links_lead_to_it(tmp_path: Path) -> None:
    real = "/usr/local/cuda-12.6"
    files = {
        f"{real}/bin/nvcc": "#!/bin/sh\n",
        f"{real}/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.3"}}',
        f"{real}/targets/x86_64-linux/lib/libcudart.so.12": "",
    }
    place = prepared(
        tmp_path,
        files,
        ldconfig="2 libs found in cache\n"
        "\tlibcudart.so.12 (libc6,x86-64) => /usr/local/cuda/lib64/libcudart.so.12\n"
        "\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1\n",
    )
    (tmp_path / "usr/local/cuda").symlink_to("cuda-12.6")
    (tmp_path / f"{real}/lib64".lstrip("/")).symlink_to("targets/x86_64-linux/lib")
    (tmp_path / "usr/local/bin").mkdir()
    (tmp_path / "usr/local/bin/nvcc").symlink_to("../cuda/bin/nvcc")

    told = cuda(place)

    assert told["toolkits"] == [
        {"path": real, "conda": False, "compiler": True, "version": "12.6.3"}
    ]
    assert told["nvcc_plain"] == f"{real}/bin/nvcc"
    assert told["loader_libcudart"] == [f"{real}/targets/x86_64-linux/lib/libcudart.so.12"]
    assert told["loader_libcuda"] == ["/lib/x86_64-linux-gnu/libcuda.so.1"]


def test_condas_record_tells_the_version_of_a_runtime_without_a_compiler(tmp_path: Path) -> None:
    files = {
        "/opt/conda/bin/python": "",
        "/opt/conda/lib/libcudart.so.11.0": "",
        "/opt/conda/conda-meta/cudatoolkit-11.7.0-hd8887f6_10.json": "{}",
    }

    (toolkit,) = cuda(prepared(tmp_path, files))["toolkits"]

    assert (toolkit["compiler"], toolkit["version"]) == (False, "11.7.0")


def test_environments_that_conda_lists_are_found_wherever_they_lie(tmp_path: Path) -> None:
    files = {
        f"{HOME}/.conda/environments.txt": "/data/env\n/data/gone\n",
        "/data/env/bin/nvcc": "#!/bin/sh\n",
    }

    (toolkit,) = cuda(prepared(tmp_path, files))["toolkits"]

    assert (toolkit["path"], toolkit["conda"]) == ("/data/env", True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes somebody else")
def test_other_peoples_closed_homes_are_named(open_folder: Path) -> None:
    files = {f"{HOME}/.profile": "", "/home/eve/miniconda3/bin/nvcc": "#!/bin/sh\n"}
    place = prepared(open_folder, files)
    assert len(cuda(place)["toolkits"]) == 1
    (open_folder / "home/eve").chmod(0o700)
    child = os.fork()
    if child == 0:
        try:
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            is_right = closed_homes(place) == ["/home/eve"] and not cuda(place)["toolkits"]
        finally:
            os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_listening_ports_are_read_from_the_socket_table_without_loopback(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
    files = {
        "/proc/net/tcp": f"{head}"
        "   0: 00000000:270F 00000000:0000 0A 00000000:00000000\n"
        "   1: 0100007F:0CEA 00000000:0000 0A 00000000:00000000\n"
        "   2: 0B00490A:0016 0100490A:D2F0 01 00000000:00000000\n",
        "/proc/net/tcp6": f"{head}"
        "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0\n"
        "   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 0\n",
        "/etc/ufw/ufw.conf": "# /etc/ufw/ufw.conf\nENABLED=yes\n",
    }
    ip = "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 192.0.2.7/24 brd 192.0.2.255\n"

    told = network(prepared(tmp_path, files, ip=ip), "192.0.2.7", [])

    assert told["listening"] == [22, 9999]
    assert told["addresses"] == {"127.0.0.1": "lo", "192.0.2.7": "eth0"}
    assert told["interface"] == "eth0"
    assert told["firewalls"] == [{"kind": "ufw", "lets_in": None, "chain": None}]


def test_the_interface_is_that_of_the_default_route_where_the_address_is_not_its_own(
    tmp_path: Path,
) -> None:
    route = "Iface Destination Gateway Flags\neth1 0000FEA9 0 1\nwlan0 00000000 0102A8C0 0003\n"
    told = network(prepared(tmp_path, {"/proc/net/route": route}), "192.0.2.7", [])
    assert told["interface"] == "wlan0"


@contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def peer(server: socket.socket) -> dict[str, Any]:
    return {"name": "other", "address": "127.0.0.1", "port": server.getsockname()[1]}


def test_an_ssh_server_greets_first_and_hears_nothing() -> None:
    with listener() as server, socket.socket() as client:
        client.close()
        waiting = subprocess.Popen(
            ["python3", "-c", _GREET, str(server.fileno())], pass_fds=[server.fileno()]
        )
        assert greeting(peer(server)) is None
        assert waiting.wait(10) == 0, "it heard something"


_GREET = """
import socket, sys
server = socket.socket(fileno=int(sys.argv[1]))
connection, _ = server.accept()
connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\\r\\n")
sys.exit(connection.recv(1) != b"")
"""


def test_a_port_that_refuses_is_told_with_its_reason() -> None:
    with listener() as server:
        closed = peer(server)
    assert greeting(closed) == "Connection refused"


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"


def others(*addresses: str, port: int = 22) -> list[dict[str, Any]]:
    return [
        {"name": f"n{number}", "address": address, "port": port, "apart": True}
        for number, address in enumerate(addresses)
    ]


@pytest.mark.parametrize("port", [22, 2222])
def test_the_host_key_of_who_answers_is_told(tmp_path: Path, port: int) -> None:
    shown = "192.0.2.8" if port == 22 else f"[192.0.2.8]:{port}"
    place = prepared(tmp_path, {}, ssh_keyscan=f"{shown} {PUBLIC}1\n192.0.2.88 {PUBLIC}2\n")

    told = peers(place, others("192.0.2.8", port=port), [])

    assert told["peers"] == {"n0": None}
    assert told["peer_keys"] == {"n0": f"{PUBLIC}1"}


def test_who_answers_where_the_controller_checked_is_only_greeted(tmp_path: Path) -> None:
    """Host keys of all would take each node's SSH server a second on a small machine."""
    with listener() as server:
        at = {**peer(server), "apart": False}
    place = prepared(tmp_path, {}, ssh_keyscan=f"127.0.0.1 {PUBLIC}")
    told = peers(place, [at], [])
    assert (told["peers"], told["peer_keys"]) == ({"other": "Connection refused"}, {})


def test_a_node_at_an_address_of_its_own_is_not_asked(tmp_path: Path) -> None:
    place = prepared(tmp_path, {}, ssh_keyscan=f"127.0.0.1 {PUBLIC}")
    told = peers(place, others("127.0.0.1"), ["127.0.0.1", "192.0.2.7"])
    assert (told["peers"], told["peer_keys"]) == ({"n0": ITSELF}, {})


@pytest.mark.parametrize(
    ("settings", "keys"),
    [("#HostKey /etc/ssh/x\n", ["usual"]), ("\nhostkey /etc/keys/own\n", ["own"])],
)
def test_a_nodes_own_host_keys_are_those_of_its_settings(
    tmp_path: Path, settings: str, keys: list[str]
) -> None:
    files = {
        "/etc/ssh/sshd_config": settings,
        "/etc/ssh/ssh_host_ed25519_key": "",
        "/etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 usual root@node\n",
        "/etc/ssh/ssh_host_rsa_key": "",
        "/etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa other root@node\n",
        "/etc/keys/own.pub": "ssh-ed25519 own\n",
    }
    told = peers(prepared(tmp_path, files), [], [])
    assert told["host_keys"] == [f"ssh-ed25519 {key}" for key in keys]


# -- the whole of it, as a node runs it ---------------------------------------------------------


@contextmanager
def started(command: str) -> Iterator[socket.socket]:
    """A shell command that reads from and writes to a socket."""
    ours, its = socket.socketpair()
    process = subprocess.Popen(["sh", "-c", command], stdin=its, stdout=its, stderr=subprocess.PIPE)
    its.close()
    try:
        yield ours
    finally:
        ours.close()
        process.communicate(timeout=10)


def test_the_probe_runs_from_standard_input_alone() -> None:
    with started(f"echo welcome; {COMMAND}") as pipe:
        told, offset_s, error_s = run_probe(pipe, program("127.0.0.1", [], deep=False), 60)

    assert isinstance(told, Facts)
    assert told.base.nic == "lo"
    assert told.network.addresses["127.0.0.1"] == "lo"
    assert abs(offset_s) <= error_s + 0.001, "it is the same clock"


def test_facts_of_a_prepared_machine_are_what_the_controller_reads(tmp_path: Path) -> None:
    place = prepared(tmp_path, {"/proc/version": WSL_KERNEL, "/usr/bin/nvidia-smi": "#!/bin/sh\n"})
    question = {"address": "192.0.2.7", "peers": [], "deep": False}
    base = {"architecture": "x86_64", "kernel": "5.15.167.4-microsoft-standard-WSL2"}

    told = machine_facts(place, question, lambda nic: {**base, "nic": nic})

    assert Facts.model_validate(told).machine.kind == "wsl2"


@pytest.mark.parametrize(
    ("command", "what"),
    [("exit 127", "it ended"), ("cat >/dev/null & echo llama-herd-doctor ready; exit", "it ended")],
)
def test_a_node_whose_python_ends_is_silent(command: str, what: str) -> None:
    with started(command) as pipe, pytest.raises(CutShortError, match=what):
        run_probe(pipe, program("127.0.0.1", [], deep=False), 10)


def test_what_is_no_fact_is_refused() -> None:
    script = 'while read line; do [ "$line" = "" ] && echo "M {}" || echo "M 1.0"; done'
    command = f"echo M ready; {script}".replace("M ", "llama-herd-doctor ")
    with started(command) as pipe, pytest.raises(CutShortError, match="sent an unexpected answer"):
        run_probe(pipe, b"x\n", 10)


def test_the_probe_keeps_to_the_syntax_of_python_3_9() -> None:
    folder = Path(__file__).resolve().parents[2] / "experiments" / "doctor" / "probe"
    sources = {path.stem: path.read_text() for path in folder.glob("*.py") if path.stem[0] != "_"}
    sent = {name for name, _ in modules_of(PACKAGE, folder)}
    assert sent == {PACKAGE, *(f"{PACKAGE}.{name}" for name in sources)}
    for text in sources.values():
        ast.parse(text, feature_version=(3, 9))
        assert "from __future__ import annotations" in text
