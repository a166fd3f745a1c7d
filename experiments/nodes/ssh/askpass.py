"""A password for OpenSSH, as Ansible gives it, and no trace of it in arguments, environment, files.

OpenSSH asks a program that SSH_ASKPASS names. The password is in a named pipe, whose content
never leaves the kernel's memory and is gone when it was read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from experiments.fleet.cluster import Secret

PROGRAM = """#!/bin/sh
# Only the node's own question has an answer: not that of a jump host, nor that for a passphrase.
case "$1" in
"$HERD_ASKED's password"* | "($HERD_ASKED) "*assword*) ;;
*) exit 1 ;;
esac
IFS= read -r answer <"$HERD_ANSWER" && printf '%s\\n' "$answer"
"""
NAME_SIGNS = 30
"""So much of a user's name OpenSSH has in its question."""
PIECE_BYTES = 1 << 16


class PasswordPipe:
    """A password that is given to OpenSSH once for each connection.

    Args:
        folder: of files that no one else may read.
        password: it.
        user: who logs in.
        host: what OpenSSH calls the machine when it asks.

    Raises:
        OSError: there can be no pipe.
    """

    def __init__(self, folder: Path, password: Secret, user: str, host: str) -> None:
        program = folder / "ask"
        program.write_text(PROGRAM, encoding="utf-8")
        program.chmod(0o700)
        self._path = folder / f"answer-{secrets.token_hex(8)}"
        self._password = password
        os.mkfifo(self._path, 0o600)
        self._pipe = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        self.environment: Mapping[str, str] = {
            "SSH_ASKPASS": str(program),
            "SSH_ASKPASS_REQUIRE": "force",
            "HERD_ASKED": f"{user[:NAME_SIGNS]}@{host}",
            "HERD_ANSWER": str(self._path),
        }

    def fill(self) -> None:
        """Have it ready for a connection."""
        with suppress(BlockingIOError):
            os.read(self._pipe, PIECE_BYTES)
        os.write(self._pipe, f"{self._password.reveal()}\n".encode())

    def close(self) -> None:
        """Forget it."""
        os.close(self._pipe)
        self._path.unlink(missing_ok=True)
