"""Which server of a swarm takes how long: out of the client's log, into a table and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.network.servers import CLIENT, REST, chain_times, spans_by_speed
from analysis.report import compose
from analysis.text.wording import NOTHING
from collect.columns import SERVERS, TOKENS
from collect.parsers import petals
from collect.run import RunManifest
from collect.tables import Tables
from tests.doubles.run_frames import make_frames, make_series

RECORDED = Path(__file__).resolve().parents[1] / "data/petals/benchmark.out"
FIRST, SECOND = "ptl1", "ptl2"


def test_a_real_log_tells_of_every_server_in_every_step() -> None:
    found = petals.measurement(RECORDED.read_bytes(), b"")

    assert len(found.servers) == 2 * len(found.tokens) == 128
    assert [(part.position, part.node, part.layers) for part in found.servers[:2]] == [
        (0, FIRST, 3),
        (1, SECOND, 3),
    ]
    for token in found.tokens:
        parts = [part for part in found.servers if part.index == token.index]
        assert {part.phase for part in parts} == {token.phase}
        computing_ms = sum(part.compute_ms or 0.0 for part in parts)
        assert 0 < computing_ms < (token.sync_ms or 0.0)
        assert sum(part.wait_ms for part in parts) <= (token.sync_ms or 0.0)


def test_a_server_that_did_not_tell_its_computing_has_none() -> None:
    records = [
        {"event": "swarm", "servers": [["pi1", 0, 6]]},
        {
            "event": "step",
            "phase": "evaluation",
            "tokens": 4,
            "text": "a",
            "total_ms": 9.0,
            "chain_ms": 7.0,
            "servers_ms": {"pi1": 6.5},
        },
    ]
    log = "\n".join(map(json.dumps, records))
    (part,) = petals.measurement(log.encode(), b"").servers
    assert (part.layers, part.wait_ms, part.compute_ms) == (6, 6.5, None)


OUTCOMES = {("petals", 2): [10.0, 10.0]}


def tables(computing_ms: dict[str, list[float | None]]) -> tuple[RunManifest, Tables]:
    """Two trials of two steps each; a step has 2 ms of the client and 30 ms of the chain."""
    run, made = make_frames(OUTCOMES)
    ids = list(made.trials["trial_id"])
    tokens = [
        {"trial_id": one, "index": i, "phase": phase, "compute_ms": 2.0, "sync_ms": 30.0}
        for one in ids
        for i, phase in enumerate(("evaluation", "prediction", "prediction"))
    ]
    servers = [
        {
            "trial_id": one,
            "index": token["index"],
            "phase": token["phase"],
            "position": position,
            "node": node,
            "layers": 3,
            "wait_ms": 15.0,
            "compute_ms": times[ids.index(one)] if token["phase"] == "prediction" else 500.0,
        }
        for one in ids
        for token in tokens
        if token["trial_id"] == one
        for position, (node, times) in enumerate(computing_ms.items())
    ]
    return run, Tables(
        trials=made.trials,
        tokens=frame(tokens, dict(TOKENS)),
        servers=frame(servers, dict(SERVERS)),
        nodes=made.nodes,
        attempts=made.attempts,
        answers=made.answers,
        texts=made.texts,
    )


def frame(rows: list[dict[str, object]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def test_what_is_left_of_the_chain_after_the_servers_is_the_network() -> None:
    _, made = tables({SECOND: [8.0, 10.0], FIRST: [14.0, 16.0]})
    found = chain_times(make_series(OUTCOMES), made)

    assert list(found["part"]) == [CLIENT, SECOND, FIRST, REST]  # along the chain, not by name
    assert list(found["ms"]) == pytest.approx([2.0, 9.0, 15.0, 6.0])  # medians of two trials
    assert list(found["share"]) == pytest.approx([2 / 32, 9 / 32, 15 / 32, 6 / 32])
    assert found["layers"].dropna().tolist() == [3, 3]


def test_layers_in_proportion_to_the_measured_speed_are_counted_out(tmp_path: Path) -> None:
    run, made = tables({SECOND: [4.0, 6.0], FIRST: [14.0, 16.0]})  # three times as fast
    assert list(spans_by_speed(chain_times(make_series(OUTCOMES), made)).values()) == ["4-2"]
    compose(run, made, tmp_path)
    for name in ("report.md", "index.html"):
        assert "speed of the servers would be: " in (tmp_path / name).read_text()
    _, alike = tables({SECOND: [9.0, 9.0], FIRST: [10.0, 10.0]})
    assert spans_by_speed(chain_times(make_series(OUTCOMES), alike)) == {}


def test_nothing_is_said_of_a_cell_whose_servers_did_not_tell() -> None:
    _, made = tables({FIRST: [14.0, 16.0], SECOND: [8.0, None]})
    assert chain_times(make_series(OUTCOMES), made).empty


def test_a_cell_without_a_speed_has_no_parts_of_it() -> None:
    run, made = tables({FIRST: [14.0, 16.0], SECOND: [8.0, 10.0]})
    nodes = {name: {"emulated": True} for name in run.nodes}
    emulated = series_of(cell_results(run.model_copy(update={"nodes": nodes}), made.trials))
    assert chain_times(emulated, made).empty


def test_the_report_has_the_parts_as_a_table_and_as_a_file(tmp_path: Path) -> None:
    run, made = tables({FIRST: [14.0, 16.0], SECOND: [8.0, 10.0]})
    compose(run, made, tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "### Time of each server" in page
    assert f"| {REST} | {NOTHING} | 6.00 | 19 % |" in page
    assert "Time of each server" in (tmp_path / "index.html").read_text()
    assert list(pd.read_csv(tmp_path / "servers.csv")["part"]) == [CLIENT, FIRST, SECOND, REST]
