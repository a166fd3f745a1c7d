"""Waiting until a node has booted."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils.lab_podman import LabError, succeeds

BOOT_S = 120


def wait_for_boot(name: str, pid: int) -> None:
    """Wait until systemd in a node says that it has booted.

    Raises:
        LabError: it did not boot in time, or units failed.
    """
    enter = ["nsenter", "--target", str(pid), "--mount", "--pid", "--net"]
    deadline = time.monotonic() + BOOT_S
    state = "silent"
    while time.monotonic() < deadline:
        done = subprocess.run(
            [*enter, "systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        state = done.stdout.strip() or "silent"
        if state in {"running", "degraded"}:
            break
        time.sleep(0.2)
    if state == "running":
        return
    failed = subprocess.run(
        [*enter, "systemctl", "--failed", "--plain", "--no-legend"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if state != "degraded" or not succeeds(*enter, "systemctl", "is-active", "--quiet", "ssh"):
        raise LabError(f"node {name} did not boot within {BOOT_S} s: systemd is {state}. {failed}")
