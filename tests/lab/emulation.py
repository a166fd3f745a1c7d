"""Whether a lab could not come up because this machine runs no arm64 programs."""

from __future__ import annotations

OBSTACLES = (
    "registering arm64 programs with the kernel (binfmt_misc)",
    "Only an amd64 machine emulates them",
)
REASON_CHARACTERS = 400


def why_no_emulation(said: str) -> str | None:
    """The machine's obstacle, as a failed `playbooks/lab.yml` words it.

    Args:
        said: its output.

    Returns:
        Ansible's error; None if it failed for any other reason, which no test may skip.
    """
    words = " ".join(said.split())
    if not any(obstacle in words for obstacle in OBSTACLES):
        return None
    return words[max(0, words.find("[ERROR]")) :][:REASON_CHARACTERS]
