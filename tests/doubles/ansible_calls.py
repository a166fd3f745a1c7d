"""Calls of `ansible-playbook` by a process that has it loaded, which makes them quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class AnsibleCalls:
    """The process, from the side of a test.

    Args:
        folder: where the output of calls goes.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.ansible_process"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_ARGS": "-o ProxyCommand=false"},
        )

    def __call__(self, *words: str) -> tuple[int, str]:
        """Exit code of a call, and what it printed with each run of blanks as one."""
        asks, answers = self._process.stdin, self._process.stdout
        assert asks is not None
        assert answers is not None
        asks.write(json.dumps([words, str(self._output)]) + "\n")
        asks.flush()
        code = int(answers.readline())
        return code, " ".join(self._output.read_text().split())

    def end(self) -> None:
        """Let the process go."""
        self._process.communicate()


@contextmanager
def ansible_calls(folder: Path) -> Iterator[AnsibleCalls]:
    """The process for a while."""
    calls = AnsibleCalls(folder)
    try:
        yield calls
    finally:
        calls.end()
