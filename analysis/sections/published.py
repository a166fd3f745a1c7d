"""What others have published of the same engines."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.blocks import File, Folded, Section, Tabled, cited
from analysis.cells.tabulate import frame_table
from analysis.network.literature import published_timings, timing_references
from analysis.study import Study
from analysis.text.sentence import say
from collect.workloads import Benchmark

OTHERS = (
    "Other machines, models and versions: compare the shape of the curves, not the speeds. "
    "Speed-up is relative to the fewest nodes of the same table. Sources are in the CSV."
)
TABLES = "Published tables"
COLUMNS = {
    "machines": "Machines", "model": "Model", "nodes": "Nodes", "total_ms": "ms/token",
    "tokens_per_s": "Tokens/s", "speed_up": "Speed-up", "sync_share": "Sync",
    "published": "Published",
}  # fmt: skip


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a benchmark with an engine that others published figures of."""
    data = published_timings(study.run.engines)
    if data.empty or not isinstance(study.run.workload, Benchmark):
        return
    made = frame_table(data, COLUMNS, percents=["sync_share"])
    title = say("What others have published")
    shown = Tabled(title, made, (say(OTHERS),), File("published", data))
    summary = say("{n} figures of the same engine on other machines", n=len(made.rows))
    sources = cited((TABLES, timing_references(study.run.engines)))
    yield Section("published", title, (Folded(summary, (shown,)), *sources))
