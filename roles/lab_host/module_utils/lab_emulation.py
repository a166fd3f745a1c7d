"""Whether this machine runs arm64 programs: a registration with the kernel (binfmt_misc)."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.lab_podman import LabError, run, succeeds

FOLDER = Path("/proc/sys/fs/binfmt_misc")
OWN = "llama-herd-arm64"
RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
MAGIC = "magic 7f454c460201010000000000000000000200b700"
"""The first bytes of an arm64 program (ELF, 64 bits, little endian, machine 183)."""
FLAGS = set("OCF")
"""The emulator is opened beforehand (F, O), so that it need not be in containers, and takes its
rights from the program (C), without which `sudo` is not root. Debian's own rule lacks the C."""


def register() -> bool:
    """Have the kernel run arm64 programs with qemu-user; whether anything had to be done.

    Raises:
        LabError: the kernel or its administrator does not allow it.
    """
    if not (FOLDER / "register").exists():
        run(
            "mount",
            "--types",
            "binfmt_misc",
            "binfmt_misc",
            str(FOLDER),
            doing="registering arm64 programs with the kernel (binfmt_misc)",
        )
    if any(_serves(entry) for entry in _entries()):
        return False
    try:
        rule = RULE.read_text(encoding="ascii").strip().split(":")
        rule[1], rule[-1] = OWN, "OCPF"
        (FOLDER / "register").write_text(":".join(rule), encoding="ascii")
    except OSError as error:
        raise LabError(
            "registering arm64 programs with the kernel (binfmt_misc) to be run by qemu-user: "
            f"{error}"
        ) from error
    return True


def unregister() -> bool:
    """Take back what `register` did; a registration by another program stays."""
    own = FOLDER / OWN
    if not own.exists():
        return False
    own.write_text("-1", encoding="ascii")
    if not _entries():
        # A failure is no error: systemd mounts it by itself and keeps it.
        succeeds("umount", str(FOLDER))
    return True


def _entries() -> list[Path]:
    return [path for path in FOLDER.glob("*") if path.name not in {"register", "status"}]


def _serves(entry: Path) -> bool:
    lines = entry.read_text(encoding="ascii").splitlines()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
    return "enabled" in lines and MAGIC in lines and set(flags) >= FLAGS
