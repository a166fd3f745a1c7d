"""An attempt on disk: the runner writes it, everything else reads it.

    results/<run>/attempts/<attempt>/
        <node>.<role>.out      standard output of a process, verbatim
        <node>.<role>.err      standard error, verbatim (absent when empty)
        power.csv              readings of smart plugs (absent without plugs)
        attempt.json           written last; its presence says that the folder is whole

The folder is written under a name that begins with `.tmp-`, made durable, then renamed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collect.cells import MOST_NODES, Axis, PlaceNumber
from collect.plugs import Energy, PlugEnergy
from collect.run import Sha256
from core.errors import HerdError
from core.foreign import Count, FileName
from core.record import (
    Moment,
    Number,
    Positive,
    Record,
    Scalar,
    Seconds,
    Whole,
    Words,
    open_regular,
    read_file,
    read_record,
    why,
)

ATTEMPT_FILE = "attempt.json"
LARGEST_LOG_BYTES = 1 << 28
"""256 MiB. A log is read whole; one that is larger was not made by a trial that succeeded."""
TEMPORARY_PREFIX = ".tmp-"

Role = Literal["worker", "root", "server", "client"]
"""A server is a root that does not end by itself; a client asks it and ends the trial."""
IN_VAIN = 3
"""Exit status of a client that knows that no other try would help."""
UNUSABLE = 4
"""Exit status of a client that got all answers, paid for, and not so that they can be used."""
LAST_ROLES: frozenset[Role] = frozenset({"root", "client"})
"""Of the main process of a trial: the trial ends with it."""
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
        cpu_s: CPU time of the whole process tree; None where the kernel does not report it.
        memory_peak_mib: its peak memory in MiB; None where the kernel does not report it.
        received_bytes: IP bytes into the unit; None where the kernel does not report it.
        sent_bytes: IP bytes out of it.
        out_file: file name of its standard output in the attempt's folder.
        err_file: of its standard error; None when that was empty.
        kept: the process served earlier trials too and may serve later ones.
        gpu: the interface by which it was to compute on its node's GPU; None where it saw no GPU.
    """

    node: FileName
    role: Role
    unit: Words
    argv: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)
    exit_code: Count | None = None
    signal: Count | None = None
    result: Words | None = None
    started_at: Moment | None = None
    runtime_s: Seconds | None = None
    cpu_s: Seconds | None = None
    memory_peak_mib: Positive | None = None
    received_bytes: Count | None = None
    sent_bytes: Count | None = None
    out_file: FileName | None = None
    err_file: FileName | None = None
    kept: bool = False
    gpu: Words | None = None


class GpuReading(Record):
    """The GPU that a node computes on, at one moment; None for what its driver does not report.

    Attributes:
        index: in the order of NVML, NVIDIA's library.
        reasons: bits that say why its clocks are not higher (`nvmlClocksEventReasons`).
        reasons_meanwhile: those that were set at a look since the reading before this one (a look a
            second, while processes lived).
        power_held_s: how long its power limit has held its clocks back, since its driver was
            loaded.
        heat_held_s: the same for its temperature.
        clock_mhz: of its cores.
        clock_meanwhile_mhz: the highest at a look since the reading before this one.
        set_clock_mhz: what its cores' clock is set to for computing.
        power_limit_w: the limit that holds.
        power_default_w: the limit that its maker set.
        used_by: processes of others on it, with their ids and memory.
    """

    index: Count
    reasons: Count | None = None
    reasons_meanwhile: Count | None = None
    power_held_s: Positive | None = None
    heat_held_s: Positive | None = None
    clock_mhz: Count | None = None
    clock_meanwhile_mhz: Count | None = None
    memory_clock_mhz: Count | None = None
    set_clock_mhz: Count | None = None
    set_memory_clock_mhz: Count | None = None
    power_limit_w: Positive | None = None
    power_default_w: Positive | None = None
    temperature_c: Number | None = None
    used_by: Words | None = None


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
        gpu: where a process of the attempt computes on NVIDIA's GPU.
    """

    clock_s: Number | None = None
    uptime_s: Number | None = None
    throttled: Count | None = None
    throttled_meanwhile: Count | None = None
    temperature_c: Number | None = None
    frequency_mhz: Positive | None = None
    swap_pages: Count | None = None
    link_mbit: Whole | None = None
    gpu: GpuReading | None = None


class NodeRecord(Record):
    """A node before and after an attempt."""

    before: NodeReading | None = None
    after: NodeReading | None = None


class NodeEnergy(Record):
    """What a node used while the main process of the trial ran.

    Attributes:
        joules: counter to what it counted: `RAPL package-0` (a processor), `RAPL package-0 dram`
            (its memory), `NVML gpu-0`. The rest of the machine is in none. Of a node without a
            counter for its processor, only the GPU that computed is counted.
        window_s: between the two readings, by the node's monotonic clock.
    """

    joules: dict[Words, Energy]
    window_s: Seconds


class LinkRecord(Record):
    """The links of the nodes during an attempt, as set and read back; of the lab alone.

    Attributes:
        mbit: rate each way.
        delay_ms: added to a round trip between two nodes.
        method: what delays: the kernel's `netem`, or a `queue` of packets.
        round_trip_ms: as a ping between two nodes showed before the attempt; None on one node.
    """

    mbit: Count
    delay_ms: Count
    method: Words | None = None
    round_trip_ms: Positive | None = None


class ScoredRecord(Record):
    """The part of a document that an attempt scored, as the model's own vocabulary splits it.

    Attributes:
        document: its name.
        part: of it, from 1.
        tokens: that get a probability: all but the first, which a beginning-of-text is if the
            model has one.
        size: bytes of UTF-8 of these tokens.
    """

    document: Words
    part: PlaceNumber
    tokens: Count
    size: Count


class DeploymentRecord(Record):
    """One of several deployments that a trial ran at once.

    Attributes:
        nodes: those that it took, its root first.
        began_s: when its main process was started, since the trial began, by the controller's
            clock. Attempts of before have none.
        ended_s: when it ended, by the same.
    """

    nodes: Annotated[tuple[FileName, ...], Field(min_length=1, max_length=MOST_NODES)]
    began_s: Seconds | None = None
    ended_s: Seconds


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
        plugs: name of a smart plug to what it counted, of those that feed anything of the cell.
        file_bytes: file name to size; a log shorter than this was torn later.
        file_sha256: file name to hash; a log with another was changed later. Runs of before have
            none.
        link: the links of its nodes, where the matrix names them.
        devices: node name to the GPU that its log says it computed on; no nodes that computed on
            their CPU.
        scored: which document it scored; None with another workload.
        weights_sha256: node name to the hash of the weights that its process read, of nodes whose
            process reads weights. Attempts of before have none.
        adapter_sha256: hash of the trained prompts that its client read; None without any.
        deployments: of a trial that ran several at once (axis `groups`), in order; empty of others.
        software_devices: those of these nodes whose GPU is software, which their CPU runs.
    """

    schema_version: Literal[1] = 1
    run: FileName
    attempt_id: FileName
    trial_id: FileName
    cell_id: FileName
    attempt: PlaceNumber
    params: dict[Axis, Scalar]
    outcome: Outcome
    cause: str | None = None
    samples: Count
    expected_samples: Count
    started_at: Moment
    trial_wall_s: Seconds
    root_wall_s: Seconds | None
    processes: Annotated[tuple[ProcessRecord, ...], Field(max_length=4 * MOST_NODES)]
    nodes: Annotated[dict[FileName, NodeRecord], Field(max_length=MOST_NODES)]
    energy: dict[FileName, NodeEnergy] = Field(default_factory=dict)
    plugs: Annotated[dict[FileName, PlugEnergy], Field(max_length=1000)] = Field(
        default_factory=dict
    )
    file_bytes: Annotated[dict[FileName, Count], Field(max_length=8 * MOST_NODES)]
    file_sha256: dict[FileName, Sha256] = Field(default_factory=dict)
    link: LinkRecord | None = None
    devices: Annotated[dict[FileName, Words], Field(max_length=MOST_NODES)] = Field(
        default_factory=dict
    )
    scored: ScoredRecord | None = None
    software_devices: Annotated[tuple[FileName, ...], Field(max_length=MOST_NODES)] = ()
    weights_sha256: Annotated[dict[FileName, Sha256], Field(max_length=MOST_NODES)] = Field(
        default_factory=dict
    )
    adapter_sha256: Sha256 | None = None
    deployments: Annotated[tuple[DeploymentRecord, ...], Field(max_length=MOST_NODES)] = ()

    @property
    def in_vain(self) -> bool:
        """Whether it failed for a reason that the user must fix, such as a refused key."""
        return self._client_ended(IN_VAIN)

    @property
    def is_final(self) -> bool:
        """Whether its trial has failed for good: another attempt would only cost money."""
        return self._client_ended(UNUSABLE)

    def _client_ended(self, status: int) -> bool:
        """Whether it failed, and its client ended with that status."""
        if self.outcome == "done":  # as nearly all of them
            return False
        root = self.root()
        return root is not None and root.role == "client" and root.exit_code == status

    def root(self) -> ProcessRecord | None:
        """The process whose end was the end, or None when the attempt failed before its start."""
        return next((process for process in self.processes if process.role in LAST_ROLES), None)

    @property
    def overlap(self) -> float | None:
        """Of the time from its first root's start to its last root's end, the share of all roots.

        From 0 to 1; None if it is not known, as of a trial that ran no several at once.
        """
        begun = [one.began_s for one in self.deployments if one.began_s is not None]
        ended = [one.ended_s for one in self.deployments]
        if not begun or len(begun) < len(ended) or max(ended) <= min(begun):
            return None
        return max(0.0, min(ended) - max(begun)) / (max(ended) - min(begun))

    def roots(self) -> tuple[ProcessRecord | None, ...]:
        """The same of each deployment."""
        if not self.deployments:
            return (self.root(),)
        last = {p.node: p for p in self.processes if p.role in LAST_ROLES}
        return tuple(last.get(one.nodes[0]) for one in self.deployments)


def load_attempt(folder: Path, *, closely: bool = True) -> AttemptRecord:
    """Read an attempt's record and check that its logs are as long as they were.

    Args:
        folder: of the attempt.
        closely: also refuse a record in which a key appears twice.

    Raises:
        HerdError: no record, a damaged one, or a log that is missing or too short.
    """
    doing = f"Reading the attempt {folder.name}"
    remedy = "Its trial can be run again."
    record = read_record(folder, ATTEMPT_FILE, AttemptRecord, doing, remedy, closely=closely)
    if record is None:
        raise HerdError(f"{doing}: it has no {ATTEMPT_FILE}.")
    for name, size_bytes in record.file_bytes.items():
        if _size_bytes(f"{folder}/{name}") != size_bytes:
            raise HerdError(
                f"{doing}: {name} is missing or not the {size_bytes} bytes that were collected."
            )
    return record


def _size_bytes(path: str) -> int | None:
    """Of a regular file that is no link; None of anything else."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def read_log(folder: Path, name: str) -> bytes:
    """A log of an attempt.

    Raises:
        HerdError: it cannot be read, or is larger than any log of this toolkit.
    """
    try:
        return read_file(folder, name, LARGEST_LOG_BYTES)
    except OSError as error:
        raise HerdError(f"Reading the log {name} of {folder.name}: {why(error)}.") from None


def check_logs(folder: Path, record: AttemptRecord) -> None:
    """See that the logs hold what was collected, byte for byte.

    Raises:
        HerdError: one was changed, or cannot be read.
    """
    for name, expected in record.file_sha256.items():
        if _sha256(folder, name) != expected:
            raise HerdError(
                f"Reading the attempt {folder.name}: {name} is not what was collected (its sha256 "
                "is another one): it was changed since."
            )


def _sha256(folder: Path, name: str) -> str:
    try:
        with os.fdopen(open_regular(folder / name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HerdError(f"Reading the log {name} of {folder.name}: {why(error)}.") from None
