"""pip, as the roles' programs on the controller call it.

Nothing but the standard library: they use it with any Python that has pip.
"""

from __future__ import annotations

import subprocess
import sys

from models.clients import environment_for_clients

_TIMEOUT_S = 1800


class PipError(Exception):
    """What pip could not do, in its own words, one sentence."""


def pip(*arguments: str) -> None:
    """Run this Python's pip.

    Raises:
        PipError: it failed; with the line in which it says why.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    try:
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=environment_for_clients(),
        )
    except subprocess.TimeoutExpired:
        raise PipError(f"pip {arguments[0]} took more than {_TIMEOUT_S} s") from None
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
        words = (said or ran.stderr.splitlines() or ["it printed no message"])[-1]
        raise PipError(f"pip {arguments[0]} failed: {words.removeprefix('ERROR: ')}")
