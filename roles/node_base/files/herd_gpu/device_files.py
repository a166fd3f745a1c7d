"""The files in /dev through which a GPU is reached, and whether this user may open them."""

from __future__ import annotations

import glob
import os
import pwd

OF_NVIDIA = ("/dev/nvidia[0-9]*", "/dev/nvidiactl")
OF_WINDOWS = "/dev/dxg"
"""The way to Windows' driver from a guest in WSL."""
OF_OTHERS = ("/dev/dri/renderD*",)


def found(*patterns: str) -> list[str]:
    """Device files that are there."""
    return sorted(path for pattern in patterns for path in glob.glob(pattern))


def refusal(paths: list[str]) -> str | None:
    """Why none of these can be opened, as a sentence; None if one can, or there are none."""
    told = [(path, why_closed(path)) for path in paths]
    if not told or any(why is None for _, why in told):
        return None
    path, why = told[0]
    return f"The user {user()} may not open {path}: {why}."


def why_closed(path: str) -> str | None:
    """Why a file cannot be opened; None if it can."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror
    return None


def user() -> str:
    """Whose process this is."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def is_wsl() -> bool:
    """Whether this is a guest in WSL that has the way to Windows' driver."""
    return os.path.exists(OF_WINDOWS)
