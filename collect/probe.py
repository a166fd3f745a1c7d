"""What `fab probe` measured of machines and links: `results/probes/<UTC time>.json`.

No engine takes part in it. So it says what a cluster could do, which `analysis/model/` takes as the
first guess of a cost model. A probe belongs to machines, not to names: `newest_for` compares what
nodes said about themselves, and says why a probe of other hardware is not used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from collect.cells import MOST_NODES
from core.durable import MEASURED_IS_SAFE, replace_file, writing
from core.errors import HerdError
from core.foreign import Count, FileName
from core.record import (
    Moment,
    Positive,
    Record,
    Scalar,
    Seconds,
    Words,
    all_differ,
    own_folder,
    read_record,
)

PROBES_FOLDER = "probes"
_NAMED = "%Y%m%d-%H%M%S"
_SUFFIX = ".json"
MOST_PROBES = 10_000
"""Files that are looked at; more are not in any folder of ours."""

MACHINE_FACTS = ("machine_id", "serial_hash", "board", "cpu_model", "architecture", "cores")
"""Facts of a node that differ only where the machine is another one, or was changed."""
LINK_FACT = "link_mbit"
MEMORY_FACT = "memory_mib"
MEMORY_MARGIN = 1 / 16
"""Relative difference of the memory that a kernel's update may make in the same machine."""
KEPT_FACTS = (*MACHINE_FACTS, "boot_id", LINK_FACT, MEMORY_FACT)

GigabytesPerSecond = Annotated[float, Field(strict=True, gt=0, le=1e5, allow_inf_nan=False)]
"""10^9 bytes each second."""
Gigaflops = Annotated[float, Field(strict=True, gt=0, le=1e7, allow_inf_nan=False)]
"""10^9 additions or multiplications of 32-bit floats each second."""
Microseconds = Annotated[float, Field(strict=True, gt=0, le=6e7, allow_inf_nan=False)]
Megabits = Annotated[float, Field(strict=True, gt=0, le=1e7, allow_inf_nan=False)]
"""10^6 bits each second."""
FactName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class NodeProbe(Record):
    """What one node can do by itself.

    Attributes:
        name: of the node.
        machine: which machine it was: those of `KEPT_FACTS` that it reported.
        threads: how many threads computed at once for the figures of all cores.
        memory_one_gbs: read from memory by one thread, in GB/s; None if it was not measured.
        memory_all_gbs: read from memory by all threads together, in GB/s.
        memory_spread: by how much the figures of all threads differed in the times that they
            were measured: the largest less the smallest, as a share of the median.
        memory_loop: the function of the C library that read fastest, such as `memchr`.
        array_mib: size of what was read, in MiB.
        cache_mib: size of the node's last caches together, in MiB; None if unknown.
        arithmetic_one_gflops: multiplications and additions of 32-bit floats by one thread, in
            GFLOP/s; None where it was not measured.
        arithmetic_all_gflops: by all threads together, in GFLOP/s.
        remarks: what was not measured and why, and what limits a figure; a sentence each.
    """

    name: FileName
    machine: dict[FactName, Scalar | None] = Field(max_length=len(KEPT_FACTS))
    threads: Annotated[int, Field(strict=True, ge=1, le=65_536)]
    memory_one_gbs: GigabytesPerSecond | None = None
    memory_all_gbs: GigabytesPerSecond | None = None
    memory_spread: Positive | None = None
    memory_loop: Words | None = None
    array_mib: Count | None = None
    cache_mib: Count | None = None
    arithmetic_one_gflops: Gigaflops | None = None
    arithmetic_all_gflops: Gigaflops | None = None
    remarks: tuple[Words, ...] = Field(default=(), max_length=20)


class LinkProbe(Record):
    """What passes from one node to another, over TCP without delay (`TCP_NODELAY`).

    Attributes:
        source: name of the node that sends.
        target: name of the node that receives.
        latency_us: half of a round trip of a small message, median, in us. It is the same in the
            record of the other direction: one round trip cannot be divided.
        latency_lower_us: lower quartile of the same, in us.
        latency_upper_us: upper quartile of the same, in us.
        exchanges: how many round trips that is of.
        rate_mbit: of a bulk transfer in this direction, in Mbit/s of what programs get.
        transferred_bytes: how much was transferred for it.
    """

    source: FileName
    target: FileName
    latency_us: Microseconds
    latency_lower_us: Microseconds
    latency_upper_us: Microseconds
    exchanges: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    rate_mbit: Megabits
    transferred_bytes: Count

    @model_validator(mode="after")
    def _is_a_link(self) -> Self:
        if self.source == self.target:
            raise ValueError(f"{self.source} has no link to itself")
        if not self.latency_lower_us <= self.latency_us <= self.latency_upper_us:
            raise ValueError("a median must be between the quartiles")
        return self


class ProbeRecord(Record):
    """One call of `fab probe`.

    Attributes:
        started_at: Unix time in seconds.
        took_s: how long it took, in seconds.
        nodes: those that were measured, root first.
        links: ordered pairs of nodes that were measured.
        pairs: `all`, or `star and ring`: the root with every node, and each with the next one.
        left_out: node name to why it was not measured.
        links_left_out: why links were not measured that should have been; a sentence each.
        toolkit: version of this toolkit.
    """

    schema_version: Literal[1] = 1
    started_at: Moment
    took_s: Seconds
    nodes: tuple[NodeProbe, ...] = Field(max_length=MOST_NODES)
    links: tuple[LinkProbe, ...] = Field(default=(), max_length=1_000_000)
    pairs: Literal["all", "star and ring"] = "all"
    left_out: dict[FileName, Words] = Field(default_factory=dict, max_length=MOST_NODES)
    links_left_out: tuple[Words, ...] = Field(default=(), max_length=100_000)
    toolkit: Words = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        all_differ("the node", (node.name for node in self.nodes))
        all_differ("the link", (f"{link.source} to {link.target}" for link in self.links))
        known = {node.name for node in self.nodes} | set(self.left_out)
        for link in self.links:
            if not {link.source, link.target} <= known:
                raise ValueError(f"the link {link.source} to {link.target} is of another node")
        return self

    def node(self, name: str) -> NodeProbe | None:
        """What was measured of a node; None if nothing was."""
        return next((node for node in self.nodes if node.name == name), None)

    def link(self, source: str, target: str) -> LinkProbe | None:
        """What was measured of a link; None if nothing was."""
        wanted = (source, target)
        return next((link for link in self.links if (link.source, link.target) == wanted), None)


@dataclass(frozen=True, slots=True)
class FoundProbe:
    """The probe for a set of machines.

    Attributes:
        record: it; None if there is none.
        path: its file.
        reasons: why there is none, or why newer ones are not used; a sentence each.
    """

    record: ProbeRecord | None = None
    path: Path | None = None
    reasons: tuple[str, ...] = ()


def probes_of(run_folder: Path) -> Path:
    """Where probes of a run's machines are: in its own folder if it was shared, or next to it."""
    return run_folder if (run_folder / PROBES_FOLDER).is_dir() else run_folder.parent


def newest_for(
    results: Path, machines: Mapping[str, Mapping[str, Scalar | None]], *, at: float | None = None
) -> FoundProbe:
    """The newest probe that covers machines.

    Args:
        results: folder of all runs.
        machines: node name to what the node says about itself, as `RunManifest.nodes` has it.
        at: Unix time in seconds; of the probes that fit, the one nearest to it is taken, as links
            may have been changed since. None takes the newest.
    """
    reasons: list[str] = []
    fitting: list[FoundProbe] = []
    for path in _files(results):
        try:
            record = read_probe(path)
        except HerdError as error:
            reasons.append(str(error))
            continue
        obstacle = why_not(record, machines)
        if obstacle is None:
            fitting.append(FoundProbe(record, path, tuple(reasons)))
            if at is None:
                break
        else:
            reasons.append(f"The probe {path.stem} is not used: {obstacle}.")
    if fitting:
        return fitting[0] if at is None else min(fitting, key=lambda one: _away(one, at))
    return FoundProbe(reasons=tuple(reasons) or ("These machines were not probed (`fab probe`).",))


def _away(found: FoundProbe, at: float) -> float:
    return abs(found.record.started_at - at) if found.record else float("inf")


def why_not(record: ProbeRecord, machines: Mapping[str, Mapping[str, Scalar | None]]) -> str | None:
    """Why a probe says nothing about machines, a clause; None if it does."""
    for name, facts in machines.items():
        probed = record.node(name)
        if probed is None:
            return f"it does not have {name}"
        if (difference := _difference(probed.machine, facts)) is not None:
            return f"{name} is another machine now, or was changed: {difference}"
    return None


def _difference(then: Mapping[str, Scalar | None], now: Mapping[str, Scalar | None]) -> str | None:
    """What shows that two sets of facts are not of the same machine, a clause."""
    for fact in (*MACHINE_FACTS, LINK_FACT):
        before, after = then.get(fact), now.get(fact)
        if before is not None and after is not None and before != after:
            return f"its {fact} was {before} and is {after}"
    sizes = [side.get(MEMORY_FACT) for side in (then, now)]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes) and max(known) - min(known) > MEMORY_MARGIN * max(known):
        return f"its {MEMORY_FACT} was {known[0]} and is {known[1]}"
    told = ("machine_id", "serial_hash", "boot_id")
    if not any(then.get(fact) is not None and then.get(fact) == now.get(fact) for fact in told):
        return f"it does not say which machine it is ({', '.join(told)})"
    return None


def _files(results: Path) -> Iterator[Path]:
    """Files of probes, newest first."""
    folder = own_folder(results, PROBES_FOLDER)
    if folder is None:
        return
    paths = sorted(folder.glob(f"[!.]*{_SUFFIX}"), key=lambda path: path.stem, reverse=True)
    yield from paths[:MOST_PROBES]


def read_probe(path: Path) -> ProbeRecord:
    """A probe from its file.

    Raises:
        HerdError: there is none, or it is damaged.
    """
    record = read_record(
        path.parent,
        path.name,
        ProbeRecord,
        "Reading a probe",
        "Delete the file; `fab probe` measures again.",
    )
    if record is None:
        raise HerdError(f"Reading a probe: there is no file {path}. `fab probe` makes one.")
    return record


def write_probe(results: Path, record: ProbeRecord) -> Path:
    """Store a probe durably; its file.

    Raises:
        HerdError: it cannot be written.
    """
    folder = results / PROBES_FOLDER
    with writing("the probe", folder, kept=MEASURED_IS_SAFE):
        results.mkdir(parents=True, exist_ok=True)
        if own_folder(results, PROBES_FOLDER) is None:
            folder.mkdir()
        path = _unused(folder, time.strftime(_NAMED, time.gmtime(record.started_at)))
        replace_file(path, record.model_dump_json(indent=1).encode())
    return path


def _unused(folder: Path, stem: str) -> Path:
    """A file that does not exist yet: two probes of one second are two files."""
    path, number = folder / f"{stem}{_SUFFIX}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{_SUFFIX}", number + 1
    return path
