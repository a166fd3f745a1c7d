"""The seam to parsers: what `of_attempt` asks of the one of an attempt's engine.

The parser of an engine is the constant `PARSER` of `collect/parsers/<slug>.py`; nothing lists them.
A module is loaded when the first log of its engine is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from collect.parsers.aborted import last_words

if TYPE_CHECKING:
    from collect.attempt import Role
    from collect.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of an attempt, when it is over.

    Attributes:
        role: what it was for.
        argv: its command line.
        out: its standard output; of a long one the beginning and the end.
        err: its standard error, cut in the same way.
        badly: it ended by itself and failed; being stopped by the runner is no failure.
    """

    role: Role
    argv: Sequence[str]
    out: str
    err: str
    badly: bool


class Parser(ABC):
    """What the logs of one engine say.

    Attributes:
        stops_without_reason: its server says `stop` also of an answer that was cut off, and samples
            at the temperature from its command line, no matter what a request asks for.
        decodes_after_prompt: its benchmark generates after the prompt that it read; False if it
            generates from an empty context.
    """

    stops_without_reason = False
    decodes_after_prompt = True

    @abstractmethod
    def measurement(self, argv: Sequence[str], out: bytes, err: bytes) -> Measurement:
        """Read what the root of an attempt measured.

        Args:
            argv: its command line, which says which program it is.
            out: its standard output.
            err: its standard error.

        Raises:
            HerdError: the log is torn, or nothing was measured.
        """

    def computed_on(self, role: Role, out: bytes, err: bytes) -> str | None:  # noqa: ARG002 - for engines that use GPUs
        """Name the GPU that a process computed on, as its log says; None where it names none.

        Args:
            role: what the process was for.
            out: its standard output, from its beginning.
            err: its standard error.
        """
        return None

    def idle_workers(self, role: Role, out: bytes, err: bytes) -> frozenset[int]:  # noqa: ARG002 - likewise
        """Find the workers that a process gave nothing to compute, as its log says.

        Args:
            role: what the process was for.
            out: its standard output, from its beginning.
            err: its standard error.

        Returns:
            Their numbers from 0, in the order in which the process was given them.
        """
        return frozenset()

    def adapter_read(self, role: Role, out: bytes) -> str | None:  # noqa: ARG002 - for engines that read adapters
        """Find the sha256 of the adapter that a process read, as its log says; None if it has none.

        Args:
            role: what the process was for.
            out: its standard output.
        """
        return None

    def complaint(self, process: Ended) -> str | None:
        """Find the engine's own words for why a process failed, a clause; None if it has none.

        By default those of C and C++ programs that abort.
        """
        return last_words(process.err) if process.badly else None

    def stage(self, out: str) -> str | None:  # noqa: ARG002 - for engines that log how far they are
        """Say how far a root came that ended without a word, a clause; None if unknown."""
        return None

    def reads_client(self, argv: Sequence[str]) -> bool:  # noqa: ARG002 - likewise
        """Whether `measurement` reads the log of a client with this command line.

        Other clients asked for chat answers, which are read alike for all engines.
        """
        return False


def slug_of(engine: str) -> str:
    """The name of an engine as its modules, its role and its tag have it."""
    return engine.replace("-", "_").replace(".", "_")


def parser_of(engine: object) -> Parser | None:
    """Load the parser of an engine; None if there is none, for any name in a record."""
    slug = slug_of(str(engine))
    name = f"{__package__}.{slug}"
    if not slug.isidentifier() or find_spec(name) is None:
        return None
    parser = getattr(import_module(name), "PARSER", None)
    return parser if isinstance(parser, Parser) else None
