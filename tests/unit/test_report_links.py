"""Speed over slower links, beside what was published of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.cells.scaling import speed_pairs
from analysis.network.links import over_links
from analysis.network.literature import published_over_links
from analysis.report import compose
from collect.attempt import ATTEMPT_FILE
from collect.run import ATTEMPTS_FOLDER
from collect.tables import build_tables
from tests.doubles.run_folder import make_run
from tests.doubles.run_frames import make_frames, make_series

AXES = ("engine", "nodes", "link_mbit", "link_delay_ms")
SPEEDS = {
    ("petals", 4, 100, 100): [5.0, 5.0],
    ("petals", 4, 1000, 0): [20.0, 20.0],
    ("petals", 4, 100, 0): [18.0, 18.0],
    ("distributed-llama", 4, 1000, 0): [100.0, 100.0],
    ("distributed-llama", 4, 100, 0): [40.0, 40.0],
}


def test_speeds_stand_against_that_of_the_fastest_link_of_their_own() -> None:
    table = over_links(make_series(SPEEDS, axes=AXES)).set_index(["series", "link"])

    assert list(table.index) == [
        ("petals", "1000 Mbit/s, no delay"),
        ("petals", "100 Mbit/s, no delay"),
        ("petals", "100 Mbit/s, +100 ms round trip"),
        ("distributed-llama", "1000 Mbit/s, no delay"),
        ("distributed-llama", "100 Mbit/s, no delay"),
    ]
    assert list(table["against_fastest"]) == pytest.approx([1, 0.9, 0.25, 1, 0.4])
    slow = table.loc[("petals", "100 Mbit/s, +100 ms round trip")]
    assert slow["published_128"] == pytest.approx(1.23 / 1.71)
    assert slow["published_2048"] == pytest.approx(1.11 / 1.54)
    assert table.loc["distributed-llama"]["published_128"].isna().all()


def test_a_link_is_compared_within_blocks_and_with_an_interval() -> None:
    drift = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    fast = ["failed", *(100 * d for d in drift[1:])]
    slow = [*(80 * d for d in drift[:6]), "failed"]
    series = make_series({("petals", 4, 1000, 0): fast, ("petals", 4, 100, 0): slow}, axes=AXES)
    told = over_links(series).set_index("link_mbit").loc[100]
    assert told["against_fastest"] == pytest.approx(0.8), "as in every block that has both"
    assert told["blocks"] == 5
    assert (told["against_low"], told["against_coverage"]) == pytest.approx((0.8, 0.9375))
    (pair,) = (p for p in speed_pairs(series))
    assert pair.ratio is not None
    assert pair.ratio.value == pytest.approx(0.8)


def test_links_that_share_no_block_have_no_share() -> None:
    outcomes = {("petals", 4, 1000, 0): [9.0, "failed"], ("petals", 4, 100, 0): ["failed", 5.0]}
    told = over_links(make_series(outcomes, axes=AXES)).set_index("link_mbit")
    assert told["against_fastest"].isna()[100]


def test_one_link_is_no_comparison() -> None:
    one = {("petals", nodes, 100, 0): [5.0] for nodes in (1, 2)}

    assert over_links(make_series(one, axes=AXES)).empty


def test_nothing_published_stands_against_another_fastest_link() -> None:
    assert published_over_links("petals", (10_000, 0)) == {}
    assert published_over_links("petals", (1000, 0))[1000, 0] == {128: 1.0, 2048: 1.0}


def test_the_page_has_the_table_only_where_links_differ(tmp_path: Path) -> None:
    for name, axes, outcomes in (
        ("links", AXES, SPEEDS),
        ("plain", ("engine", "nodes"), {("petals", 2): [5.0]}),
    ):
        (tmp_path / name).mkdir()
        run, tables = make_frames(outcomes, axes=axes)
        compose(run, tables, tmp_path / name)

    assert "Slower links" in (tmp_path / "links" / "index.html").read_text()
    assert "| 100 Mbit/s, +100 ms round trip |" in (tmp_path / "links" / "report.md").read_text()
    assert (tmp_path / "links" / "links.csv").exists()
    assert "not speeds (3 servers" in (tmp_path / "links" / "report.md").read_text()
    assert "Slower links" not in (tmp_path / "plain" / "index.html").read_text()


def test_what_the_ping_told_before_an_attempt_is_in_the_table_of_trials(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    told = build_tables(folder).trials.dropna(subset=["attempt_id"])
    assert told["link_round_trip_ms"].isna().all()

    path = folder / ATTEMPTS_FOLDER / told["attempt_id"].iloc[0] / ATTEMPT_FILE
    link = {"mbit": 100, "delay_ms": 40, "method": "queue", "round_trip_ms": 40.5}
    path.write_text(json.dumps({**json.loads(path.read_text()), "link": link}))

    trips = build_tables(folder).trials.set_index("attempt_id")["link_round_trip_ms"].dropna()
    assert trips.to_dict() == {told["attempt_id"].iloc[0]: 40.5}
