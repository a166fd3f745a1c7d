"""Every kind of run is exported and taken in again: its report is the same, its names are gone."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from analysis.report import write_report
from collect.account import Account
from collect.attempt import ATTEMPT_FILE, load_attempt
from collect.probe import KEPT_FACTS, LinkProbe, NodeProbe, ProbeRecord, write_probe
from collect.ratings import RATINGS_FOLDER, Judgement, answer_hash
from collect.run import ATTEMPTS_FOLDER, RUN_FILE
from collect.sharing.exported import export_run
from collect.sharing.imported import import_run
from tests.doubles.asked_run import make_asked_run
from tests.doubles.parts_run import make_parts_run
from tests.doubles.plug_run import plug_in
from tests.doubles.run_folder import make_run
from tests.doubles.tuned_run import BASE, TUNED, make_record

STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
USER, GPU = "kimdoyeon", "8f6d1c2a-1111-4222-8333-abcdefabcdef"
SECRETS = (
    *(f"kimserver{n}" for n in range(1, 9)), "strip-kim", USER, "192.168.7.", GPU, "lee.min",
    "Kim Lee", "geheim",
)  # fmt: skip
MINE = re.compile(r"(?<![A-Za-z0-9])(?:pi|st|ask)([1-9])(?![A-Za-z0-9])")
NOTES = rf"""loading C:\Users\Kim Lee\geheim\m.gguf for {USER} on GPU-{GPU}
as lee.min@lab.example.ac.kr from /home/{USER}/x, Kim Lee and 192.168.7.21
"""
FIGURE = re.compile(r"(?<![\w.-])\d+\.\d+(?![\w.-])")
Change = Callable[[Any], None]


def changed(path: Path, change: Change) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def named(run: Path) -> Path:
    """Give the nodes of a run speaking names, and its logs and plan what names people."""
    for path in sorted(run.rglob("*"), reverse=True):
        if path.is_file() and path.suffix != ".parquet":
            path.write_text(MINE.sub(r"kimserver\1", path.read_text(encoding="utf-8")))
        if MINE.search(path.name):
            path.rename(path.with_name(MINE.sub(r"kimserver\1", path.name)))

    def plan(told: Any) -> None:  # noqa: ANN401 - JSON
        told["matrix_file"] = f"/home/{USER}/geheim/matrix.yml"
        for n, facts in enumerate(told["nodes"].values(), start=1):
            facts |= {"address": f"192.168.7.{20 + n}", "gpu": f"NVIDIA H200 (UUID: GPU-{GPU})"}

    changed(run / RUN_FILE, plan)
    for attempt in sorted((run / ATTEMPTS_FOLDER).iterdir()):
        for log in sorted(attempt.glob("*.worker.out"))[-1:]:
            log.write_text(log.read_text() + NOTES)

        def vouch(record: Any, own: Path = attempt) -> None:  # noqa: ANN401 - JSON
            for name in record["file_bytes"]:
                content = (own / name).read_bytes()
                record["file_bytes"][name] = len(content)
                digest = hashlib.sha256(content).hexdigest()
                record.setdefault("file_sha256", {})[name] = digest

        changed(attempt / ATTEMPT_FILE, vouch)
        load_attempt(attempt)
    return run


def speeds(results: Path, **options: Any) -> Path:  # noqa: ANN401 - of make_run
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 6, "failed": (), "retried": ()}
    return make_run(results, **usual | options)


def parts(results: Path) -> Path:
    """Two workloads, one of them questions that a person rated."""
    away = results.parent / "away"
    given = {1: [{"why": "Because.", "sum": "4"}], 2: [{"why": "So.", "sum": "5"}]}
    asked = make_asked_run(away, {"why": "Why?", "sum": "2+2?"}, given)
    run = make_parts_run(results, {"speed": speeds(away, name="speed"), "answers": asked})
    judged = Judgement(question="why", answer=answer_hash("So."), quality=5, detail=2, at=1.0)
    (run / RATINGS_FOLDER).mkdir()
    (run / RATINGS_FOLDER / f"{USER}.jsonl").write_text(judged.model_dump_json() + "\n")
    return run


def tuned(results: Path) -> Path:
    """A base and the model that someone tuned from it."""
    run = speeds(results, engines=("llama.cpp",))
    record = make_record(about=f"tales for {USER}, from /home/{USER}/geheim/tales.jsonl")

    def plan(told: Any) -> None:  # noqa: ANN401 - JSON
        told["tuned"] = {TUNED: json.loads(record.model_dump_json())}
        told["axes"]["model"] = [BASE, TUNED]
        for cell in told["cells"]:
            cell["params"]["model"] = TUNED if len(cell["nodes"]) > 1 else BASE

    changed(run / RUN_FILE, plan)
    models = {cell["cell_id"]: cell["params"]["model"]
              for cell in json.loads((run / RUN_FILE).read_text())["cells"]}  # fmt: skip
    for path in (run / ATTEMPTS_FOLDER).glob(f"*/{ATTEMPT_FILE}"):
        changed(path, lambda one: one["params"].update(model=models[one["cell_id"]]))
    return run


def plugs(results: Path, **options: Any) -> Path:  # noqa: ANN401 - of plug_in
    fed = {"strip-kim": (("pi1", "pi2"), True)}
    return plug_in(speeds(results), fed, lambda _name, at_s: 4.0 + (at_s % 10 > 5), **options)


def broken_plugs(results: Path) -> Path:
    reason = f"strip-kim at 192.168.7.99 refuses {USER} (401)"
    return plugs(results, broken={"strip-kim": reason})


def priced_plugs(results: Path) -> Path:
    return plugs(results, electricity={"per_kwh": 0.32, "currency": "EUR"})


def stored(results: Path) -> Path:
    """Petals, over links of several rates."""
    name = "petals_links-20261128-214207"
    return shutil.copytree(STORED / name, results / name,
                           ignore=shutil.ignore_patterns("expected"))  # fmt: skip


def probed(results: Path) -> Path:
    """A run with a probe of its nodes, which names one that could not be asked."""
    return speeds(results)


def _probe(run: Path) -> None:
    manifest = Account.read(run).manifest
    nodes = tuple(
        NodeProbe(
            name=name,
            machine={fact: value for fact, value in facts.items() if fact in KEPT_FACTS},
            threads=4,
            memory_one_gbs=8.0,
            memory_all_gbs=12.5,
            remarks=(f"{USER} is at work on {name}",),
        )
        for name, facts in manifest.nodes.items()
    )
    links = tuple(
        LinkProbe(
            source=one,
            target=other,
            latency_us=110.0,
            latency_lower_us=105.0,
            latency_upper_us=120.0,
            exchanges=200,
            rate_mbit=940.0,
            transferred_bytes=1 << 26,
        )
        for one, other in permutations([node.name for node in nodes][:2], 2)
    )
    record = ProbeRecord(
        started_at=manifest.created_at - 600, took_s=30.0, nodes=nodes, links=links,
        left_out={"kimserver8": f"ssh {USER}@192.168.7.28: no route to host"},
    )  # fmt: skip
    write_probe(run.parent, record)


KINDS: dict[str, Callable[[Path], Path]] = {
    "parts": parts, "tuned": tuned, "broken plugs": broken_plugs, "priced plugs": priced_plugs,
    "petals": stored, "probed": probed,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_each_kind_is_shared_without_names_and_gives_the_same_report(
    kind: str, tmp_path: Path
) -> None:
    run = named(KINDS[kind](tmp_path / "results"))
    if kind == "probed":
        _probe(run)
    own = write_report(run, tmp_path / "reports").index.parent
    archive = tmp_path / "run.tar.gz"
    export_run(run, archive, write_report, "0.1.0")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "opened", filter="data")
    _require_none(tmp_path / "opened")
    assert (kind == "probed") == bool(list((tmp_path / "opened").rglob("probes/*.json")))

    taken = import_run(archive, tmp_path / "elsewhere", write_report, "0.1.0")

    assert taken.record.notes == ()
    shared = tmp_path / "opened" / "reports" / own.name
    assert {path.name for path in own.iterdir()} == {path.name for path in shared.iterdir()}
    for path in own.glob("*.csv"):
        one, other = (FIGURE.findall(text.read_text()) for text in (path, shared / path.name))
        assert sorted(one) == sorted(other), path.name


def _require_none(opened: Path) -> None:
    for path in opened.rglob("*"):
        texts = [path.relative_to(opened).as_posix()]
        if path.suffix == ".parquet":
            texts.append(parquet.read_table(path).to_pandas().to_csv())
        elif path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            texts += [text, html.unescape(text)]
        for text in texts:
            assert [one for one in SECRETS if one.casefold() in text.casefold()] == [], path
