"""An attempt on disk: the runner writes it, everything else reads it.

    results/<run>/attempts/<attempt>/
        <node>.<role>.out      standard output of a process, verbatim
        <node>.<role>.err      standard error, verbatim (absent when empty)
        attempt.json           written last; its presence says that the folder is whole

The folder is written under a name that begins with `.tmp-`, made durable, then renamed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from collect.errors import HerdError
from collect.run import Record, Scalar

ATTEMPT_FILE = "attempt.json"
TEMPORARY_PREFIX = ".tmp-"

Role = Literal["worker", "root", "server", "client"]
"""A server is a root that does not end by itself; a client asks it and ends the trial."""
IN_VAIN = 3
"""Exit status of a client that knows that no other try would help."""
LAST_ROLES: frozenset[Role] = frozenset({"root", "client"})
"""Of the process whose end is the end of a trial."""
Outcome = Literal["done", "failed", "invalid"]
"""done: measured. failed: it did not end well. invalid: it did, but for a reason written
down beforehand (throttling, swapping …) the figures must not count."""


class ProcessRecord(Record):
    """One process of an attempt, as the node's own systemd saw it.

    Attributes:
        unit: the transient unit.
        exit_code: exit status; None if it ended by a signal or was still running when stopped.
        signal: number of the signal that ended it; None otherwise.
        result: systemd's verdict: `success`, `exit-code`, `signal`, `oom-kill`, `timeout` …
        started_at: Unix time in seconds, node's clock.
        runtime_s: from start to exit by the node's monotonic clock; None for one still running.
        cpu_s: CPU time of the whole process tree; None where the kernel does not tell.
        memory_peak_mib: likewise.
        received_bytes: IP bytes into the unit; None where the kernel does not tell.
        sent_bytes: IP bytes out of it.
        out_file: file name of its standard output in the attempt's folder.
        err_file: of its standard error; None when that was empty.
        kept: the process served earlier trials too and may serve later ones.
    """

    node: str
    role: Role
    unit: str
    argv: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)
    exit_code: int | None = None
    signal: int | None = None
    result: str | None = None
    started_at: float | None = None
    runtime_s: float | None = None
    cpu_s: float | None = None
    memory_peak_mib: float | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    out_file: str | None = None
    err_file: str | None = None
    kept: bool = False


class NodeReading(Record):
    """The state of a node at one moment, None where it has no such thing.

    Attributes:
        clock_s: Unix time of the node.
        uptime_s: its monotonic clock; a change of the difference to `clock_s` is a clock step.
        throttled: Raspberry Pi firmware's bit field (`get_throttled`).
        throttled_meanwhile: its bits 0 to 3 that were set at a look since the reading before this
            one (a look a second, while processes lived).
        temperature_c: degrees Celsius.
        frequency_mhz: current clock of CPU 0.
        swap_pages: pages swapped in and out since boot.
        link_mbit: speed of the network interface.
    """

    clock_s: float | None = None
    uptime_s: float | None = None
    throttled: int | None = None
    throttled_meanwhile: int | None = None
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    swap_pages: int | None = None
    link_mbit: int | None = None


class NodeRecord(Record):
    """A node before and after an attempt."""

    before: NodeReading | None = None
    after: NodeReading | None = None


class NodeEnergy(Record):
    """What a node used while the process ran whose end is the end of the trial.

    Attributes:
        joules: counter to what it counted: `RAPL package-0` (a processor), `RAPL package-0 dram`
            (its memory), `NVML gpu-0`. The rest of the machine is in none.
        window_s: between the two readings, by the node's monotonic clock.
    """

    joules: dict[str, float]
    window_s: float


class LinkRecord(Record):
    """The links of the nodes during an attempt, as set and read back; of the lab alone.

    Attributes:
        mbit: rate each way.
        delay_ms: added to a round trip between two nodes.
        method: what delays: the kernel's `netem`, or a `queue` of packets.
        round_trip_ms: as a ping between two nodes told before the attempt; None on one node.
    """

    mbit: int
    delay_ms: int
    method: str | None = None
    round_trip_ms: float | None = None


class AttemptRecord(Record):
    """One execution of a trial.

    Attributes:
        attempt_id: `<trial_id>-a<attempt>`.
        attempt: from 1.
        outcome: see `Outcome`.
        cause: why it is not `done`, one sentence; None if it is.
        samples: how many measured values the logs held (generated tokens; perplexity: 1).
        expected_samples: how many they should have held.
        started_at: Unix time in seconds, controller's clock.
        trial_wall_s: from the first command to a node to the last log fetched.
        root_wall_s: lifetime of the root process by its node's own clock; None if it never ran.
        processes: every process on every node.
        nodes: node name to its readings.
        energy: node name to what it used, where it has counters.
        file_bytes: file name to size; a log shorter than this was torn later.
        link: the links of its nodes, where the matrix names them.
    """

    schema_version: Literal[1] = 1
    run: str
    attempt_id: str
    trial_id: str
    cell_id: str
    attempt: int
    params: dict[str, Scalar]
    outcome: Outcome
    cause: str | None = None
    samples: int
    expected_samples: int
    started_at: float
    trial_wall_s: float
    root_wall_s: float | None
    processes: tuple[ProcessRecord, ...]
    nodes: dict[str, NodeRecord]
    energy: dict[str, NodeEnergy] = Field(default_factory=dict)
    file_bytes: dict[str, int]
    link: LinkRecord | None = None

    @property
    def in_vain(self) -> bool:
        """Whether it failed for what the user must put right, such as a key that is refused."""
        root = self.root()
        return root is not None and root.role == "client" and root.exit_code == IN_VAIN

    def root(self) -> ProcessRecord | None:
        """The process whose end was the end, or None when the attempt failed before its start."""
        return next((process for process in self.processes if process.role in LAST_ROLES), None)


def load_attempt(folder: Path) -> AttemptRecord:
    """Read an attempt's record and check that its logs are as long as they were.

    Raises:
        HerdError: no record, a damaged one, or a log that is missing or too short.
    """
    path = folder / ATTEMPT_FILE
    try:
        record = AttemptRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise HerdError(f"Reading the attempt {folder.name}: it has no {ATTEMPT_FILE}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise HerdError(
            f"Reading the attempt {folder.name}: {path} is damaged "
            f"({'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']})."
        ) from None
    for name, size_bytes in record.file_bytes.items():
        log = folder / name
        if not log.is_file() or log.stat().st_size != size_bytes:
            raise HerdError(
                f"Reading the attempt {folder.name}: {name} is missing or not the "
                f"{size_bytes} bytes that were collected."
            )
    return record
