"""The tables say what the logs say, with fixed columns, and come out the same every time."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from collect.account import Account
from collect.attempt import ATTEMPT_FILE
from collect.columns import (
    ATTEMPTS,
    ATTEMPTS_WITH_ADAPTERS,
    ATTEMPTS_WITH_WEIGHTS,
    NODES,
    NODES_ON_GPUS,
    TOKENS,
    TRIALS_AFTER_AXES,
    TRIALS_BEFORE_AXES,
)
from collect.run import ATTEMPTS_FOLDER
from collect.tables import build_tables
from collect.workloads import Perplexity
from core.errors import HerdError
from tests.doubles.run_attempts import replace_log
from tests.doubles.run_folder import make_run

AXES = ["engine", "model", "nodes", "weights", "workers", "threads", "net_turbo", "split_mode"]


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_columns_and_dtypes_are_fixed_also_where_there_are_no_rows(tmp_path: Path) -> None:
    full = build_tables(make_run(tmp_path, name="full"))
    empty = build_tables(make_run(tmp_path, name="empty", pending=all_trials(), retried=()))
    for built in (full, empty):
        assert dtypes(built.tokens) == dict(TOKENS)
        assert dtypes(built.nodes) == dict(NODES)
        assert dtypes(built.attempts) == dict(ATTEMPTS)
        assert list(built.trials.columns) == [
            *("run", "trial_id", "cell_id"),
            *AXES,
            *TRIALS_AFTER_AXES,
        ]
        types = dtypes(built.trials)
        assert [types[axis] for axis in AXES] == [
            *("string", "string", "Int64", "string", "string", "Int64", "boolean", "string")
        ]
        assert {name: types[name] for name in TRIALS_AFTER_AXES} == dict(TRIALS_AFTER_AXES)
    assert len(empty.trials) == 24
    assert len(empty.tokens) == len(empty.nodes) == len(empty.attempts) == 0


def all_trials() -> list[tuple[str, int, int]]:
    return [
        (engine, nodes, repeat)
        for engine in ("distributed-llama", "llama.cpp")
        for nodes in (1, 2, 4, 8)
        for repeat in (1, 2, 3)
    ]


def test_a_row_a_trial_and_only_what_was_measured_has_figures(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    trials = build_tables(run).trials
    assert trials["state"].value_counts().to_dict() == {"done": 20, "unavailable": 3, "failed": 1}
    measured = trials["state"] == "done"
    for column in ("attempt_id", "decode_tokens_per_s", "trial_wall_s", "generated_tokens"):
        assert (trials[column].notna() == measured).all()
    assert (trials["reason"].isna() == measured).all()
    # What an engine does not have or does not tell is missing, never 0.
    llama_cpp = trials[trials["engine"] == "llama.cpp"]
    assert llama_cpp["net_turbo"].isna().all()
    assert llama_cpp["sync_ms_per_token"].isna().all()
    assert llama_cpp["sent_kib_per_token"].isna().all()
    alone = trials[(trials["engine"] == "distributed-llama") & (trials["nodes"] == 1)]
    assert (alone["sync_ms_per_token"] == 0).all()
    assert llama_cpp["sync_share_high"].isna().all()
    share = trials["sync_ms_per_token"] / trials["decode_ms_per_token"]
    split = share.notna()
    assert (trials["sync_share_low"] <= share)[split].all()
    assert (share <= trials["sync_share_high"])[split].all()


def test_the_figures_agree_with_each_other(tmp_path: Path) -> None:
    built = build_tables(make_run(tmp_path))
    done = built.trials[built.trials["state"] == "done"]
    total_ms = done["decode_ms_per_token"] * done["generated_tokens"]
    assert (total_ms - done["decode_ms"]).abs().max() < 1e-6
    assert (done["decode_tokens_per_s"] * done["decode_ms_per_token"] - 1000).abs().max() < 1e-6
    parts = done["compute_ms_per_token"] + done["sync_ms_per_token"]
    assert (parts - done["decode_ms_per_token"]).abs().max() < 1e-6


def test_the_lines_of_a_trial_sum_up_to_its_figures_within_rounding(tmp_path: Path) -> None:
    built = build_tables(make_run(tmp_path))
    lines = built.tokens[built.tokens["phase"] == "prediction"].groupby("attempt_id")
    sums = lines.agg(total_ms=("total_ms", "sum"), tokens=("tokens", "sum"))
    trials = built.trials.set_index("attempt_id").loc[sums.index]
    assert (sums["tokens"] == trials["generated_tokens"]).all()
    lacking = trials["decode_ms"] - sums["total_ms"]
    assert (lacking >= -0.2).all()
    assert (lacking <= 2 * sums["tokens"] + 0.2).all()
    assert len(sums) == (done_of(built.trials, "distributed-llama"))


def done_of(trials: pd.DataFrame, engine: str) -> int:
    return int(((trials["engine"] == engine) & (trials["state"] == "done")).sum())


def test_tokens_are_only_of_attempts_that_count_and_attempts_are_all_there(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    built = build_tables(run)
    chosen = set(built.trials["attempt_id"].dropna())
    assert set(built.tokens["attempt_id"]) <= chosen
    on_disk = {folder.name for folder in (run / ATTEMPTS_FOLDER).iterdir()}
    assert set(built.attempts["attempt_id"]) == on_disk
    assert set(built.nodes["attempt_id"]) == on_disk
    failed = built.attempts[built.attempts["outcome"] == "failed"]
    assert (failed["cause"] == "the root on pi1 ended with status 1").all()
    assert len(failed) == 3


def test_the_order_is_that_of_the_plan(tmp_path: Path) -> None:
    built = build_tables(make_run(tmp_path))
    assert built.trials["order"].is_monotonic_increasing
    place = dict(zip(built.trials["trial_id"], built.trials["order"], strict=True))
    for frame, last in ((built.tokens, "index"), (built.attempts, "attempt")):
        keys = list(zip(frame["trial_id"].map(place), frame[last], strict=True))
        assert keys == sorted(keys)
    first_rows = built.nodes.groupby("attempt_id", sort=False)["role"].first()
    assert (first_rows == "root").all()


def test_a_node_s_readings_stand_beside_its_processes(tmp_path: Path) -> None:
    nodes = build_tables(make_run(tmp_path)).nodes
    second = nodes[nodes["node"] == "pi2"].iloc[0]
    assert second["temperature_before_c"] == 49.0
    assert second["temperature_after_c"] == 51.5
    assert second["swapped_pages"] == 0
    assert second["link_mbit"] == 1000
    assert second["throttled_after"] == 0


def test_a_node_without_process_or_readings_has_what_it_has(tmp_path: Path) -> None:
    run = make_run(tmp_path, nodes=(2,), repeats=1, failed=(), retried=())
    attempt = next(iter(sorted((run / ATTEMPTS_FOLDER).iterdir())))
    record = json.loads((attempt / ATTEMPT_FILE).read_text())
    record["processes"] = [one for one in record["processes"] if one["role"] == "root"]
    record["nodes"] = {"pi2": record["nodes"]["pi2"]}
    (attempt / ATTEMPT_FILE).write_text(json.dumps(record))
    nodes = build_tables(run).nodes
    mine = nodes[nodes["attempt_id"] == attempt.name].set_index("node")
    assert mine.loc["pi1", "role"] == "root"
    assert mine.loc["pi1", ["temperature_before_c", "swapped_pages"]].isna().all()
    assert mine.loc["pi2", ["role", "unit", "kept"]].isna().all()
    assert mine.loc["pi2", "temperature_before_c"] == 49.0


def test_a_torn_summary_is_a_failed_attempt_and_not_a_zero(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, engines=("distributed-llama",), nodes=(1,), repeats=1, failed=(), retried=()
    )
    (attempt,) = (run / ATTEMPTS_FOLDER).iterdir()
    whole = (attempt / "pi1.root.out").read_bytes()
    replace_log(attempt, "pi1.root.out", whole[:-40], samples=16)
    built = build_tables(run)
    assert built.trials["state"].tolist() == ["pending"]
    assert built.trials["decode_tokens_per_s"].isna().all()
    assert built.attempts["outcome"].tolist() == ["failed"]
    assert "without its summary" in built.attempts["cause"].iloc[0]
    assert len(built.tokens) == 0


def test_a_damaged_record_is_an_attempt_without_figures(tmp_path: Path) -> None:
    run = make_run(tmp_path, engines=("llama.cpp",), nodes=(1,), repeats=1, failed=(), retried=())
    (attempt,) = (run / ATTEMPTS_FOLDER).iterdir()
    (attempt / ATTEMPT_FILE).unlink()
    (row,) = build_tables(run).attempts.to_dict("records")
    assert row["outcome"] == "failed"
    assert row["cause"] == f"Reading the attempt {attempt.name}: it has no {ATTEMPT_FILE}."
    assert pd.isna(row["root_wall_s"])


def test_a_perplexity_has_its_figure_and_no_speed(tmp_path: Path) -> None:
    workload = Perplexity(text="experiments/texts/alice.txt", characters=100, context_tokens=32)
    trials = build_tables(make_run(tmp_path, workload=workload)).trials
    done = trials[trials["state"] == "done"]
    assert done["perplexity"].between(21, 22).all()
    assert done["decode_tokens_per_s"].isna().all()
    assert (trials["workload"] == "perplexity").all()


def test_the_same_run_gives_the_same_bytes_and_they_hold_the_same_frames(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    built = build_tables(run)
    paths = built.write(run)
    assert [path.name for path in paths] == [
        *("trials.parquet", "tokens.parquet", "servers.parquet", "nodes.parquet"),
        *("attempts.parquet", "answers.parquet", "texts.parquet"),
    ]
    first = [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    again = [hashlib.sha256(path.read_bytes()).digest() for path in build_tables(run).write(run)]
    assert first == again
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}
    for path in paths:
        frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
        pd.testing.assert_frame_equal(
            frame, getattr(built, path.stem), check_dtype=False, check_column_type=False
        )


def test_a_disk_that_is_full_leaves_the_old_tables_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    built = build_tables(run)
    paths = built.write(run)
    before = [path.read_bytes() for path in paths]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HerdError, match="the disk of this machine is full"):
        built.write(run)
    assert [path.read_bytes() for path in paths] == before


def test_the_counts_of_the_table_are_those_of_the_account(tmp_path: Path) -> None:
    run = make_run(tmp_path, pending=[("llama.cpp", 1, 2)])
    counts = Account.read(run).counts()
    states = build_tables(run).trials["state"].value_counts().to_dict()
    assert states == {name: count for name, count in counts.items() if count and name != "planned"}


def test_the_page_about_the_tables_has_every_column_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    parts = {part.split("`")[1]: part for part in page.split("\n## ")[1:] if part[0] == "`"}
    expected = {
        "trials": [*TRIALS_BEFORE_AXES, *TRIALS_AFTER_AXES],
        "tokens": [*TOKENS],
        "nodes": [*NODES, *NODES_ON_GPUS],
        "attempts": [*ATTEMPTS, *ATTEMPTS_WITH_WEIGHTS, *ATTEMPTS_WITH_ADAPTERS],
    }
    for table, columns in expected.items():
        told = re.findall(r"^\| `(\w+)` \|", parts[table], re.MULTILINE)
        assert told == columns
