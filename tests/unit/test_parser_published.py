"""Upstream's own Raspberry Pi 4B table comes out of logs with its sums, to the last digit.

The report prints means of 16 tokens with two decimals; `sum16_ms` are the only whole sums from
which they can have come. One cell of the table (13B on 8 nodes, inference) is printed as 460.8
where its sum, 7373, gives 460.8125: its author cut a digit off.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from collect.parsers.distributed_llama import measurement
from collect.run import ATTEMPTS_FOLDER, Benchmark
from collect.tables import build_tables
from tests.doubles.engine_logs import dllama_era_a
from tests.doubles.run_folder import make_run, replace_log

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
    phase = measured.prediction
    assert phase is not None
    assert phase.compute_ms is not None
    assert phase.sync_ms is not None
    assert f"{phase.ms_per_token:.2f}" == printed(row, "total_ms")
    assert f"{phase.compute_ms / TOKENS:.2f}" == printed(row, "inference_ms")
    assert f"{phase.sync_ms / TOKENS:.2f}" == printed(row, "transfer_ms")


@pytest.mark.parametrize("model", ["llama2-7b", "llama2-13b", "llama2-70b"])
def test_every_cell_comes_out_of_the_tables(tmp_path: Path, model: str) -> None:
    rows = {row["nodes"]: row for row in PUBLISHED["rows"] if row["model"] == model}
    run = make_run(
        tmp_path,
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
    trials = build_tables(run).trials.set_index("nodes")
    assert set(trials.index) == set(rows)
    for nodes, row in rows.items():
        for column, cell in (
            ("decode_ms_per_token", "total_ms"),
            ("compute_ms_per_token", "inference_ms"),
            ("sync_ms_per_token", "transfer_ms"),
        ):
            assert f"{trials.loc[nodes, column]:.2f}" == printed(row, cell)
