"""Upstream's own Raspberry Pi 4B table comes out of logs with its sums, to the last digit.

The report prints means of 16 tokens with two decimals; `sum16_ms` are the only whole sums from
which they can have come. One cell of the table (13B on 8 nodes, inference) is printed as 460.8
where its sum, 7373, gives 460.8125: its author cut a digit off.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.network.literature import Timing, load_publications, published_timings
from analysis.report import write_report
from collect.parsers.distributed_llama import measurement
from collect.run import ATTEMPTS_FOLDER
from collect.tables import build_tables
from collect.workloads import Benchmark
from core.errors import HerdError
from tests.doubles.engine_logs import dllama_era_a
from tests.doubles.run_attempts import replace_log
from tests.doubles.run_folder import make_run

DATA = Path(__file__).parents[1] / "data" / "distributed-llama"
PUBLISHED = json.loads((DATA / "published_report_rpi4b.json").read_text())
TOKENS = 16
CUT_OFF_BY_ITS_AUTHOR = ("llama2-13b", 8, "inference_ms")


def log_of(row: dict[str, Any]) -> bytes:
    """16 tokens with the sums of a row, spread as evenly as whole milliseconds allow."""
    columns = [
        [total // TOKENS + (index < total % TOKENS) for index in range(TOKENS)]
        for total in row["sum16_ms"]
    ]
    return dllama_era_a(list(zip(*columns, strict=True)))


def printed(row: dict[str, Any], column: str) -> str:
    """A cell as the report prints it."""
    if (row["model"], row["nodes"], column) == CUT_OFF_BY_ITS_AUTHOR:
        assert row[column] == 460.8
        return "460.81"
    return f"{row[column]:.2f}"


@pytest.mark.parametrize("row", PUBLISHED["rows"], ids=lambda row: f"{row['model']}-{row['nodes']}")
def test_every_cell_comes_out_of_the_parser(row: dict[str, Any]) -> None:
    measured = measurement(log_of(row), b"")
    assert measured.samples == TOKENS
    assert measured.flags == ()
    phase = measured.decode
    assert phase is not None
    assert phase.compute_ms is not None
    assert phase.sync_ms is not None
    assert f"{phase.ms_per_token:.2f}" == printed(row, "total_ms")
    assert f"{phase.compute_ms / TOKENS:.2f}" == printed(row, "inference_ms")
    assert f"{phase.sync_ms / TOKENS:.2f}" == printed(row, "transfer_ms")


def run_of(folder: Path, model: str) -> tuple[Path, dict[int, dict[str, Any]]]:
    """A run whose logs have the sums of the table's rows for a model, and these rows by nodes."""
    rows = {row["nodes"]: row for row in PUBLISHED["rows"] if row["model"] == model}
    run = make_run(
        folder,
        engines=("distributed-llama",),
        nodes=sorted(rows),
        repeats=1,
        workload=Benchmark(prompt_tokens=2, generate_tokens=TOKENS),
        unavailable={},
        failed=(),
        retried=(),
    )
    for attempt in (run / ATTEMPTS_FOLDER).iterdir():
        nodes = json.loads((attempt / "attempt.json").read_text())["params"]["nodes"]
        replace_log(attempt, "pi1.root.out", log_of(rows[nodes]), samples=TOKENS)
    return run, rows


MODELS = ["llama2-7b", "llama2-13b", "llama2-70b"]


@pytest.mark.parametrize("model", MODELS)
def test_every_cell_comes_out_of_the_tables(tmp_path: Path, model: str) -> None:
    run, rows = run_of(tmp_path, model)
    trials = build_tables(run).trials.set_index("nodes")
    assert set(trials.index) == set(rows)
    for nodes, row in rows.items():
        for column, cell in (
            ("decode_ms_per_token", "total_ms"),
            ("compute_ms_per_token", "inference_ms"),
            ("sync_ms_per_token", "transfer_ms"),
        ):
            assert f"{trials.loc[nodes, column]:.2f}" == printed(row, cell)


@pytest.mark.parametrize("model", MODELS)
def test_every_cell_comes_out_of_the_report(tmp_path: Path, model: str) -> None:
    run, rows = run_of(tmp_path, model)
    folder = write_report(run, tmp_path / "reports").index.parent
    times = pd.read_csv(folder / "decode-time.csv").query("kind == 'median'").set_index("nodes")
    parts = pd.read_csv(folder / "time-split.csv").set_index("nodes")
    assert set(times.index) == set(parts.index) == set(rows)
    for nodes, row in rows.items():
        assert f"{times.loc[nodes, 'value']:.2f}" == printed(row, "total_ms")
        assert f"{parts.loc[nodes, 'compute_ms']:.2f}" == printed(row, "inference_ms")
        assert f"{parts.loc[nodes, 'sync_ms']:.2f}" == printed(row, "transfer_ms")
    assert "What others have published" in (folder / "index.html").read_text()
    assert len(pd.read_csv(folder / "published.csv")) == 8 + 9 + 5 + 6 + 2 + 2 + 2 + 2


def test_the_shipped_table_is_the_published_one() -> None:
    (table,) = [
        publication
        for publication in load_publications()
        if publication.samples == TOKENS and "Raspberry Pi 4B" in publication.machines
    ]
    names = {"llama2-7b": "LLaMA-2-7B", "llama2-13b": "LLaMA-2-13B", "llama2-70b": "LLaMA-2-70B"}
    assert list(table.timings) == [
        Timing(
            model=names[row["model"]],
            nodes=row["nodes"],
            total_ms=row["total_ms"],
            compute_ms=row["inference_ms"],
            sync_ms=row["transfer_ms"],
        )
        for row in PUBLISHED["rows"]
    ]


def test_the_shipped_traffic_sums_up_to_what_was_published() -> None:
    shipped = {
        (row.model, row.nodes): (row.sent_kb or 0) + (row.received_kb or 0)
        for table in load_publications()
        for row in table.traffic
        if row.exchanged == "q80"
    }
    for model, by_nodes in PUBLISHED["transfer_kB_q80"].items():
        name = f"LLaMA-2-{model.partition('-')[2].upper()}"
        for nodes, total_kb in by_nodes.items():
            assert shipped[name, int(nodes)] == total_kb


def test_a_published_speed_up_is_against_the_fewest_nodes_of_its_table() -> None:
    timings = published_timings(["distributed-llama"]).query("samples == 16")
    of_13b = timings.query("model == 'LLaMA-2-13B' and machines.str.startswith('Raspberry')")
    assert list(of_13b["nodes"]) == [2, 4, 8]
    assert list(of_13b["speed_up"].round(3)) == [1, 1.765, 1.343]
    assert published_timings(["an engine of which nothing is known"]).empty


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (
            ["model: a, nodes: 1, total_ms: 10, compute_ms: 8, sync_ms: 3"],
            "compute_ms and sync_ms are 11 ms together, and total_ms is 10",
        ),
        (
            ["model: a, nodes: 1, total_ms: 10", "model: a, nodes: 1, total_ms: 11"],
            "a, nodes: 1 is in `timings` twice",
        ),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    tmp_path: Path, rows: list[str], reason: str
) -> None:
    head = 'engine: e\nsource: s\npublished: "2025-01"\nmachines: m\ntimings:\n'
    text = head + "".join(f"  - {{{row}}}\n" for row in rows)
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(HerdError, match=re.escape(reason)):
        load_publications(tmp_path)
