"""The roles on a node that looks like a Raspberry Pi: files and answers as Pis have them.

A virtual node whose /sys and /proc are covered with what a Pi shows there, and some programs with
ones that answer as on a Pi. systemd, the roles and what they leave are the real ones.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.virtual_lab import Played, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

NODE = "rpi1"
BOARD = "/srv/board"
"""Where the files of a Pi lie on the node, each below its own path."""
COVERED = (
    *("sys/firmware", "sys/class/net", "sys/devices/platform", "sys/devices/system/cpu"),
    *("proc/swaps", "usr/bin/systemd-detect-virt", "usr/sbin/swapoff"),
)
UNITS = ("llama-herd-governor.service", "llama-herd-no-swap.service")
MODEL = "sys/firmware/devicetree/base/model"
GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
THROTTLED_5 = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
VCGENCMD = "usr/local/bin/vcgencmd"
SPEED = "sys/class/net/eth0/speed"
SWAPS = "proc/swaps"
NO_SWAP = "Filename Type Size Used Priority\n"
ARM64 = '[ "$*" != --print-architecture ] || { echo arm64; exit; }\nexec /usr/bin/dpkg "$@"\n'
NO_CONTAINER = 'case "$*" in *--quiet*) ;; *) echo none ;; esac\nexit 1\n'
MACHINE = {
    "sys/devices/system/cpu/online": "0-3\n",
    "usr/bin/systemd-detect-virt": f"#!/bin/sh\n{NO_CONTAINER}",
    "usr/sbin/swapoff": f'#!/bin/sh\n[ "$*" != --all ] || echo "{NO_SWAP.strip()}" >/{SWAPS}\n',
    "usr/local/bin/timedatectl": "#!/bin/sh\necho no\n",
    "usr/local/bin/dpkg": f"#!/bin/sh\n{ARM64}",
}
PI_4 = {
    **MACHINE,
    MODEL: "Raspberry Pi 4 Model B Rev 1.5\0",
    GOVERNOR: "ondemand\n",
    THROTTLED: "0\n",
    VCGENCMD: "#!/bin/sh\necho throttled=0x0\n",
    SPEED: "1000\n",
    SWAPS: f"{NO_SWAP}/var/swap file 524272 1024 -2\n",
}
PI_5_BY_WIFI = {
    **MACHINE,
    MODEL: "Raspberry Pi 5 Model B Rev 1.0\0",
    GOVERNOR: "performance\n",
    THROTTLED_5: "0\n",
    VCGENCMD: "#!/bin/sh\necho throttled=0x50000\n",
    SPEED: "",
    "sys/class/net/eth0/wireless/status": "0\n",
    SWAPS: f"{NO_SWAP}/dev/zram0 partition 2097136 0 100\n",
}
PI_4_WITH_32_BIT = {
    **PI_4,
    "usr/local/bin/dpkg": "#!/bin/sh\necho armhf\n",
    "usr/local/bin/getconf": "#!/bin/sh\necho 32\n",
}


class Pi:
    """One node, which can be made to look like another machine."""

    def __init__(self, lab: VirtualLab) -> None:
        self._lab = lab

    def play(self, playbook: str, *flags: str, **extra: object) -> Played:
        """Run a playbook of the project on the node."""
        path = "provision.yml" if playbook == "provision" else f"playbooks/{playbook}.yml"
        return self._lab.play(path, *flags, **extra)

    def on(self, command: str) -> str:
        """Standard output of a shell command on the node."""
        return self._lab.on(NODE, command)

    def dress(self, files: dict[str, str]) -> None:
        """Show these files in place of the node's own."""
        self.undress()
        for name, text in files.items():
            path = self._lab.folder / "board" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self._lab.podman("cp", f"{self._lab.folder}/board/.", f"{NODE}:{BOARD}")
        shutil.rmtree(self._lab.folder / "board")
        self.on(f"chown -R root: {BOARD}; cp {BOARD}/usr/local/bin/* /usr/local/bin/")
        for name in COVERED:
            self._in_its_mounts("mount", "--bind", f"{BOARD}/{name}", f"/{name}")

    def undress(self) -> None:
        """Show the node as it is."""
        if self.on(f"ls {BOARD}"):
            for name in COVERED:
                self._in_its_mounts("umount", f"/{name}")
        self.on(f"rm -rf {BOARD}/* /usr/local/bin/*")

    def _in_its_mounts(self, *argv: str) -> None:
        """Run a command that the node itself may not run."""
        pid = self._lab.podman("inspect", "--format={{.State.Pid}}", NODE).strip()
        subprocess.run(["nsenter", f"--target={pid}", "--mount", "--pid", *argv], check=True)


@pytest.fixture(scope="module")
def made(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    lab = VirtualLab(tmp_path_factory.mktemp("pi"), "rpi", "10.84.0.0/24", 1)
    try:
        raised = lab.up()
        assert raised.code == 0, raised.output
        pi = Pi(lab)
        pi.on(f"mkdir {BOARD}")
        first = pi.play("nodes")
        assert first.code == 0, first.output
        yield pi
    finally:
        lab.down()


@pytest.fixture
def pi(made: Pi) -> Iterator[Pi]:
    """The node; afterwards it is none of the machines that it was made to look like."""
    yield made
    made.undress()


def state_of(pi: Pi, unit: str) -> str:
    return pi.on(f"systemctl is-enabled {unit} || true").strip()


def test_a_pi_4_gets_its_full_frequency_and_no_swap_once(pi: Pi) -> None:
    pi.dress(PI_4)
    first = pi.play("nodes")
    assert first.code == 0, first.output
    assert pi.on(f"cat /{GOVERNOR}") == "performance\n"
    assert pi.on(f"cat /{SWAPS}") == NO_SWAP
    assert [state_of(pi, unit) for unit in UNITS] == ["enabled", "enabled"]
    again = pi.play("nodes")
    assert (again.code, again.changed()[NODE]) == (0, 0), again.output


def test_swap_that_came_back_is_turned_off_again(pi: Pi) -> None:
    pi.dress({**PI_4, GOVERNOR: "performance\n"})
    assert pi.play("nodes").code == 0
    pi.on(f"echo '/dev/zram0 partition 2097136 0 100' >>/{SWAPS}")
    repaired = pi.play("nodes")
    assert (repaired.code, repaired.changed()[NODE]) == (0, 1), repaired.output
    assert pi.on(f"cat /{SWAPS}") == NO_SWAP


def test_a_pi_keeps_its_swap_if_it_shall(pi: Pi) -> None:
    pi.dress(PI_5_BY_WIFI)
    assert pi.play("nodes").code == 0
    kept = pi.play("nodes", raspberry_pi_swap=True)
    assert (kept.code, kept.changed()[NODE]) == (0, 1), kept.output
    assert state_of(pi, "llama-herd-no-swap.service") == "disabled"
    pi.on(f"echo '/dev/zram0 partition 2097136 0 100' >>/{SWAPS}")
    again = pi.play("nodes", raspberry_pi_swap=True)
    assert (again.code, again.changed()[NODE]) == (0, 0), again.output
    assert "zram0" in pi.on(f"cat /{SWAPS}")


def test_check_mode_announces_and_changes_nothing(pi: Pi) -> None:
    pi.dress({**PI_4, "usr/local/bin/timedatectl": "#!/bin/sh\necho yes\n"})
    for unit in UNITS:
        pi.on(f"systemctl disable --quiet {unit}; rm -f /etc/systemd/system/{unit}")
    pi.on("systemctl daemon-reload")
    checked = pi.play("nodes", "--check")
    assert (checked.code, checked.changed()[NODE] > 0) == (0, True), checked.output
    assert pi.on(f"cat /{SWAPS}") == PI_4[SWAPS]
    assert pi.on(f"cat /{GOVERNOR}") == "ondemand\n"


def test_32_bit_programs_are_refused_with_what_helps(pi: Pi) -> None:
    pi.dress(PI_4_WITH_32_BIT)
    refused = pi.play("nodes")
    assert refused.code != 0
    assert "runs a 32-bit system with packages for armhf" in refused.words()
    assert "Install the 64-bit Raspberry Pi OS" in refused.words()
    assert pi.on(f"cat /{GOVERNOR}") == "ondemand\n", "nothing was done to it"


def test_what_would_spoil_measurements_is_told_last_and_changes_nothing(pi: Pi) -> None:
    pi.dress(PI_5_BY_WIFI)
    without_engines = "--tags=base,facts,verify"
    assert pi.play("provision", without_engines).code == 0
    told = pi.play("provision", without_engines)
    assert (told.code, told.changed()[NODE]) == (0, 0), told.output
    last = " ".join(told.output[told.output.rindex("TASK [") :].split())
    assert "Warn of anything that would spoil measurements" in last
    assert "rpi1: engines talk over eth0, which is wireless" in last
    assert "rpi1: it has been throttled since it booted (bits 0x50000)" in last


def test_without_vcgencmd_only_what_happens_now_is_known(pi: Pi) -> None:
    """The kernel's file forgets within seconds; a warning says what is not known."""
    unasked = {name: text for name, text in PI_4.items() if name != VCGENCMD}
    for bits, words in (
        ("0", "whether it has been throttled since it booted is unknown"),
        ("50005", "it is throttled now, or was within the last seconds (bits 0x50005)"),
    ):
        pi.dress({**unasked, THROTTLED: f"{bits}\n"})
        told = pi.play("provision", "--tags=base,facts")
        assert told.code == 0, told.output
        assert words in told.words()


def test_a_pi_as_it_should_be_is_told_nothing_of_link_address_or_power(pi: Pi) -> None:
    pi.dress(PI_4)
    told = pi.play("facts")
    assert told.code == 0, told.output
    for word in ("wireless", "Mbit/s", "DHCP", "throttled"):
        assert word not in told.words()


def test_where_nothing_keeps_the_clock_a_time_service_comes_and_stays(pi: Pi) -> None:
    pi.on("dpkg --purge systemd-timesyncd")
    pi.dress(PI_4)
    assert pi.play("nodes").code == 0
    assert state_of(pi, "systemd-timesyncd.service") == "enabled"
    again = pi.play("nodes")
    assert (again.code, again.changed()[NODE]) == (0, 0), again.output


def test_another_time_service_is_left_alone_even_if_it_is_off(pi: Pi) -> None:
    pi.on(
        "dpkg --purge systemd-timesyncd; "
        "printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' "
        ">/etc/systemd/system/chrony.service"
    )
    try:
        pi.dress(PI_4)
        assert pi.play("nodes").code == 0
        assert state_of(pi, "chrony.service") == "disabled"
        assert "timesyncd" not in pi.on("ls /lib/systemd/system")
    finally:
        pi.on("rm /etc/systemd/system/chrony.service")


def test_the_nodes_names_are_in_etc_hosts_until_they_shall_not(pi: Pi) -> None:
    before = pi.on("sed '/^# BEGIN llama-herd/,/^# END llama-herd/d' /etc/hosts")
    assert pi.play("nodes").code == 0
    block = "# BEGIN llama-herd\n10.84.0.11 rpi1\n# END llama-herd\n"
    assert pi.on("cat /etc/hosts") == before + block
    assert pi.play("nodes", node_base_hosts=False).code == 0
    assert pi.on("cat /etc/hosts") == before


def test_reset_takes_units_and_names_away(pi: Pi) -> None:
    """Changes the node for good: the last test of this file."""
    pi.dress(PI_4)
    assert pi.play("nodes").code == 0
    removed = pi.play("reset")
    assert removed.code == 0, removed.output
    assert "llama-herd" not in pi.on("find /etc/systemd /usr/local; cat /etc/hosts")
    again = pi.play("reset")
    assert (again.code, again.changed()[NODE]) == (0, 0), again.output
