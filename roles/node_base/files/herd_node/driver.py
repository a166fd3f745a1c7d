"""A driver's library, called in a separate process: it is foreign code, and may crash or hang.

Then its functions have no result any more, and the helper continues: nodes compute on CPUs, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import time
from typing import Any, Union

from herd_node.ground import entries

ANSWER_S = 8
"""How long a function may take. A GPU that sleeps is started by the first that needs it."""
ANSWER_BYTES = 64 << 10
OWN = (0, 1, 2)
"""Standard input, output and error."""
Filled = Union[
    ctypes.c_uint, ctypes.c_ulonglong, ctypes.c_void_p, ctypes.Structure, "ctypes.Array[Any]"
]
"""What functions write into, through a pointer."""
Argument = Union[int, Filled]


class Driver:
    """The first of these libraries that can be loaded. Its process ends with this object.

    Attributes:
        is_gone: whether it crashed, hung or answered something else than it was asked.

    Raises:
        OSError: none can be loaded.
    """

    def __init__(self, *names: str) -> None:
        self.is_gone = False
        asked, asking = os.pipe()
        told, telling = os.pipe()
        self._ends = (asking, told)
        child = os.fork()
        if child == 0:
            try:
                # Its parent ends at once, so that nobody has to wait for its end.
                if os.fork() == 0:
                    serve(names, asked, telling)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(telling)
        os.waitpid(child, 0)
        if self._answer() is not True and not self.is_gone:
            raise OSError(f"none of {', '.join(names)} can be loaded")

    def __del__(self) -> None:
        """Let its process end."""
        for end in self.__dict__.pop("_ends", ()):
            os.close(end)

    def result_of(
        self, function: str, *arguments: Argument, handle: int | None = None
    ) -> int | None:
        """Call a function; its result, None if there is no such function or it gave none.

        Args:
            function: its name.
            arguments: an `unsigned int` each, or what is written into.
            handle: a pointer, the first argument.
        """
        if self.is_gone:
            return None
        filled = [one for one in arguments if not isinstance(one, int)]
        words = [one if isinstance(one, int) else bytes(one).hex() for one in arguments]
        try:
            os.write(self._ends[0], json.dumps([function, handle, words]).encode() + b"\n")
            answer: Any = self._answer()
            if answer is None:
                return None
            code, contents = answer
            for one, content in zip(filled, contents):
                data = bytes.fromhex(content)
                ctypes.memmove(ctypes.addressof(one), data, min(len(data), ctypes.sizeof(one)))
            return int(code)
        except (OSError, ValueError, TypeError):
            self.is_gone = True
            return None

    def _answer(self) -> object:
        """The next line that it writes, as JSON; None if it is gone."""
        received = b""
        until = time.monotonic() + ANSWER_S
        while not received.endswith(b"\n"):
            wait_s = max(0.0, until - time.monotonic())
            is_there = bool(select.select([self._ends[1]], [], [], wait_s)[0])
            piece = os.read(self._ends[1], ANSWER_BYTES) if is_there else b""
            received += piece
            if not piece or len(received) > ANSWER_BYTES:
                self.is_gone = True
                return None
        answer: object = json.loads(received)
        return answer


def serve(names: tuple[str, ...], asked: int, telling: int) -> None:
    """Be the process: load the library, then call what the helper asks for, until it ends."""
    with open(os.devnull, "r+b", buffering=0) as nowhere:
        for own in OWN:  # a library that talks must not talk in between
            os.dup2(nowhere.fileno(), own)
    # The lock of the node is among the others: it ends with the helper.
    for number in map(int, entries("/proc/self/fd")):
        if number not in (*OWN, asked, telling):
            with contextlib.suppress(OSError):
                os.close(number)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ANSWER_S)
    library = loaded(names)
    os.write(telling, json.dumps(library is not None).encode() + b"\n")
    signal.alarm(0)
    if library is None:
        return
    with os.fdopen(asked, encoding="ascii") as lines:
        for line in lines:
            signal.alarm(ANSWER_S)
            answer = called(library, *json.loads(line))
            os.write(telling, json.dumps(answer).encode() + b"\n")
            signal.alarm(0)


def loaded(names: tuple[str, ...]) -> ctypes.CDLL | None:
    """The first library that can be loaded."""
    for name in names:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


def called(
    library: ctypes.CDLL, name: str, handle: int | None, words: list[int | str]
) -> tuple[int, list[str]] | None:
    """A function's result and what it wrote; None if there is no such function."""
    function = getattr(library, name, None)
    if function is None:
        return None
    contents = [bytes.fromhex(word) for word in words if isinstance(word, str)]
    buffers = [ctypes.create_string_buffer(content, len(content)) for content in contents]
    rest = iter(buffers)
    given = [ctypes.c_uint(word) if isinstance(word, int) else next(rest) for word in words]
    first = [] if handle is None else [ctypes.c_void_p(handle)]
    return function(*first, *given), [buffer.raw.hex() for buffer in buffers]
