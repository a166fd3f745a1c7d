"""From the logs of an attempt to what was measured, or to why nothing was."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collect.attempt import LAST_ROLES, AttemptRecord, ProcessRecord, read_log
from collect.measurement import Answer, Measurement
from collect.parsers import answers
from collect.parsers.at_once import measured_at_once
from collect.parsers.parser import Ended, Parser, parser_of
from core.errors import HerdError
from core.foreign import one_line
from core.record import open_regular

LONGEST_CAUSE_BYTES = 1 << 18
"""A failure is reported at the end of a log, its circumstances at its beginning."""
_CONSEQUENCES = ("Socket closed", "Connection reset by peer", "Broken pipe", "a node went away")
"""What a process says when another one failed first."""
_ENDED_BY_RUNNER = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@contextmanager
def _whatever_it_raises(record: AttemptRecord) -> Iterator[None]:
    """Turn any exception of a parser into a refusal: one odd log must not end a run."""
    try:
        yield
    except HerdError:
        raise
    except Exception as error:  # noqa: BLE001 - a log may have been written by anybody
        raise HerdError(
            f"The logs of the attempt {record.attempt_id} cannot be read "
            f"({one_line(f'{type(error).__name__}: {error}', 200)})."
        ) from None


def parse_attempt(folder: Path, record: AttemptRecord) -> Measurement:
    """What the logs of an attempt say.

    Args:
        folder: holds the logs.
        record: names the engine (`params`) and the root's log; its outcome and samples
            are not looked at, so a runner may ask before it has settled them.

    Raises:
        HerdError: no log of a root, an engine without a parser, or a log that is not whole.
    """
    with _whatever_it_raises(record):
        return _measurement(folder, record)


def _measurement(folder: Path, record: AttemptRecord) -> Measurement:
    found = [_measured(folder, record, root) for root in record.roots()]
    if not record.deployments:
        return found[0]
    return measured_at_once(found, [one.ended_s for one in record.deployments])


def _measured(folder: Path, record: AttemptRecord, root: ProcessRecord | None) -> Measurement:
    """What the main process of a deployment says."""
    if root is None or root.out_file is None:
        raise HerdError(f"The attempt {record.attempt_id} has no log of a root process.")
    out = read_log(folder, root.out_file)
    err = read_log(folder, root.err_file) if root.err_file else b""
    parser = parser_of(record.params.get("engine"))
    if root.role == "client" and not (parser and parser.reads_client(root.argv)):
        return answers.measurement(
            root.argv, _server_argv(record), out, stops_without_reason=_stops_without_reason(parser)
        )
    if parser is None:
        engine = one_line(str(record.params.get("engine")), 60)
        raise HerdError(f"The attempt {record.attempt_id} is of {engine}, which has no parser.")
    return parser.measurement(root.argv, out, err)


def answers_of(folder: Path, record: AttemptRecord) -> tuple[Answer, ...]:
    """Every answer that was begun in an attempt, also one that failed; empty where none was asked.

    Raises:
        HerdError: the client's log cannot be read.
    """
    client = record.root()
    if client is None or client.role != "client" or client.out_file is None:
        return ()
    parser = parser_of(record.params.get("engine"))
    if parser and parser.reads_client(client.argv):
        return ()
    with _whatever_it_raises(record):
        out = read_log(folder, client.out_file)
        return answers.read_answers(
            client.argv,
            _server_argv(record),
            out,
            stops_without_reason=_stops_without_reason(parser),
        )


def _server_argv(record: AttemptRecord) -> tuple[str, ...]:
    return next((p.argv for p in record.processes if p.role == "server"), ())


def _stops_without_reason(parser: Parser | None) -> bool:
    return parser is not None and parser.stops_without_reason


def failure_of_attempt(
    folder: Path, processes: Sequence[ProcessRecord], engine: object
) -> str | None:
    """Why an attempt failed: the best sentence that logs and systemd's verdicts allow.

    Names the process that failed first by what it says and how it ended: memory that ran out
    and deadlines before signals, workers that died before the root that missed them.

    Args:
        folder: holds the logs.
        processes: of the attempt.
        engine: its name; without a parser nothing is known of its words.

    Returns:
        One sentence without a full stop; None if no process ended badly or complained.
    """
    parser = parser_of(engine)
    told = [_Told(folder, process, parser) for process in processes]
    suspects = [one for one in told if one.ended_badly or one.words]
    if not suspects:
        return None
    culprit = min(suspects, key=lambda one: one.rank)
    sentence = culprit.sentence()
    root = next((one for one in suspects if one.process.role in LAST_ROLES), None)
    if root is not None and root is not culprit and (root.words or root.ended_badly):
        return f"{sentence}; {root.sentence()}"
    return sentence


class _Told:
    """A process with what it said before it ended."""

    def __init__(self, folder: Path, process: ProcessRecord, parser: Parser | None) -> None:
        self.process = process
        self._parser = parser
        self._out = _text(folder, process.out_file)
        self.words = self._own_words(_text(folder, process.err_file))

    def _own_words(self, err: str) -> str | None:
        process = self.process
        if process.role == "client":
            complaint = re.search(r"^error: (.{1,400})$", err, re.MULTILINE)
            return complaint[1] if complaint else None
        if self._parser is None:
            return None
        ended = Ended(process.role, process.argv, self._out, err, self.ended_badly)
        return self._parser.complaint(ended)

    @property
    def ended_badly(self) -> bool:
        """Whether it ended by itself and failed; being stopped by the runner is no failure."""
        process = self.process
        if process.result in {"oom-kill", "timeout"}:
            return True
        if process.signal is not None:
            return process.signal not in _ENDED_BY_RUNNER
        return process.exit_code not in {None, 0}

    @property
    def rank(self) -> int:
        """The lower, the nearer to the cause."""
        process, words = self.process, self.words or ""
        if process.result == "oom-kill":
            return 0
        killed = process.signal and process.result != "timeout"
        if process.role == "worker" and killed and self.ended_badly:
            return 1
        if self.words and not any(part in words for part in _CONSEQUENCES):
            return {"worker": 2, "client": 5}.get(process.role, 3)
        return 4 if process.role in {"root", "server"} else 6

    def sentence(self) -> str:
        """Who, how it ended, what it said or where it was."""
        process = self.process
        parts = [f"the {process.role} on {process.node}"]
        if self.ended_badly:
            parts.append(_ending(process))
        if self.words:
            parts.append(f"{'and ' if self.ended_badly else ''}said: {self.words}")
        elif process.role == "root" and (stage := self._stage()):
            # A guess at what is wrong comes after a colon; who was killed did nothing wrong.
            killed = process.signal == signal.SIGKILL and process.result != "timeout"
            parts.append(stage.partition(": ")[0] if killed else stage)
        return " ".join(parts)

    def _stage(self) -> str | None:
        return self._parser.stage(self._out) if self._parser else None


def _ending(process: ProcessRecord) -> str:
    if process.result == "oom-kill":
        return "was killed because memory ran out (oom-kill)"
    if process.result == "timeout":
        return "was stopped at its deadline"
    if process.signal is not None:
        try:
            name = signal.Signals(process.signal).name
        except ValueError:
            name = str(process.signal)
        return f"ended by signal {process.signal} ({name})"
    return f"ended with status {process.exit_code}"


def _text(folder: Path, name: str | None) -> str:
    """A log's beginning and end, as far as they may show a failure; "" if there is none."""
    if name is None:
        return ""
    try:
        descriptor = open_regular(folder / name)
    except OSError:
        return ""
    size = os.fstat(descriptor).st_size
    with os.fdopen(descriptor, "rb") as log:
        if size <= 2 * LONGEST_CAUSE_BYTES:
            return log.read().decode(errors="replace")
        begin = log.read(LONGEST_CAUSE_BYTES)
        log.seek(size - LONGEST_CAUSE_BYTES)
        return (begin + b"\n" + log.read()).decode(errors="replace")
