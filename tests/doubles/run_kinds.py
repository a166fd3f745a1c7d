"""Every kind of run that a report is made of, each small: what is in the one is not in the others.

`KINDS` has a function for each. It may use an empty folder, and gives what the report is made of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from analysis.agreement.report import agreed
from analysis.study import Study, study_of
from collect.account import Account
from collect.attempt import ATTEMPT_FILE
from collect.columns import SERVERS, TOKENS
from collect.judging import Judge, Judged, Ruling
from collect.questions import AnswerKey, Question
from collect.ratings import Judgement, answer_hash
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, Price, SystemRecord
from collect.tables import tables_of
from collect.workloads import Perplexity
from tests.doubles.absent_run import measure
from tests.doubles.asked import API, Asked, make_asked
from tests.doubles.asked_run import make_asked_run
from tests.doubles.cost_run import cost_frames
from tests.doubles.documents_run import documents_run
from tests.doubles.gpu_run import PC, SOFTWARE, gpu_frames, pc_and_pis
from tests.doubles.known_machines import incast, machine
from tests.doubles.noisy_run import noisy_frames
from tests.doubles.placed_run import each_and_roots, placed_frames
from tests.doubles.plug_run import plug_in
from tests.doubles.prompt_run import prompt_lengths
from tests.doubles.run_folder import make_run
from tests.doubles.run_frames import Outcomes, frame_of, make_frames
from tests.doubles.together_run import combined, together_runs
from tests.doubles.tuned_run import BASE, TUNED, asked_before_and_after, make_benchmark
from tests.unit.test_agreement import GOOD, SCORED, manifest, run_folder, scores, tables, texts
from tests.unit.test_groups_at_once import everywhere, study

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
QUESTIONS = (
    Question(id="sum", text="What is 2 + 2?", topic="sums", key=AnswerKey(kind="numeric", value=4)),
    Question(id="why", text="Why is the sky blue?", topic="other", rubric="scattering"),
)
PRICE = Price(input=1.0, output=2.0, currency="USD", date=date(2026, 1, 1))
PAID = SystemRecord(url="https://api.example/v1", model="gpt", price=PRICE)
TUNED_SPEEDS: Outcomes = {
    (LLAMA, model, nodes): [10.0 * nodes + 0.01 * step for step in range(8)]
    for model in (BASE, TUNED)
    for nodes in (1, 2)
}
FRAMES: Mapping[str, tuple[Outcomes, Mapping[str, Any]]] = {
    "one node": ({(DLLAMA, 1): [10.0, 10.1, 9.9]}, {}),
    "several nodes": (
        {
            (engine, nodes): [speed * nodes**0.8 + step / 10 for step in range(6)]
            for engine, speed in ((DLLAMA, 10.0), (LLAMA, 14.0))
            for nodes in (1, 2, 4)
        },
        {},
    ),
    "laws": (
        {
            (engine, nodes): [1000 / (ms + added * (nodes - 1)) / (1 + step % 3 / 50)
                              for step in range(6)]
            for engine, added in ((DLLAMA, 0.0), (LLAMA, 9.0))
            for nodes, ms in ((1, 100.0), (2, 60.0), (4, 40.0), (8, 30.0))
        },
        {},
    ),
    "lab": ({(DLLAMA, 1): [10.0, 10.2], (DLLAMA, 2): [17.0, 17.4]}, {"is_lab": True}),
    "one trial": ({(DLLAMA, 1): [10.0], (LLAMA, 2): [20.0]}, {"link_mbit": None}),
    "links": (
        {
            ("petals", 4, 1000, 0): [20.0, 20.1, 20.2],
            ("petals", 4, 100, 100): [5.0, 5.1, 5.2],
            (DLLAMA, 4, 1000, 0): [100.0, 101.0, 102.0],
            (DLLAMA, 4, 100, 0): [40.0, 41.0, 42.0],
        },
        {"axes": ("engine", "nodes", "link_mbit", "link_delay_ms")},
    ),
    "perplexity": (
        {(DLLAMA, 1): [10.0], (DLLAMA, 2): [12.0]},
        {
            "columns": {"perplexity": 7.5, "decode_tokens_per_s": None, "prompt_tokens_per_s": None,
                        "decode_ms_per_token": None},
            "workload": Perplexity(text="experiments/texts/alice.txt"),
        },
    ),
    "failures only": ({(DLLAMA, 1): ["failed"], (DLLAMA, 8): ["unavailable"]}, {}),
    "a node dies": (
        {
            (DLLAMA, nodes): [nodes * (10 + step / 10) for step in range(done)] + ["failed"] * lost
            for nodes, done, lost in ((1, 6, 0), (2, 3, 3), (4, 3, 3))
        },
        {},
    ),
    "all failed": (
        {(engine, n): ["failed"] * 6 for engine in (DLLAMA, LLAMA) for n in (1, 2, 4)}, {},
    ),
    "two speeds": (
        {
            (DLLAMA, nodes): [nodes * (rate + step / 20) for step, rate in enumerate(rates)]
            for nodes, rates in ((1, (10, 14) * 4), (2, (9, 9, 12, 12) * 2))
        },
        {},
    ),
    "nothing yet": ({(DLLAMA, 1): ["pending"], (DLLAMA, 2): ["pending"]}, {}),
    "many series": (
        {
            (engine, nodes, threads): [5.0 + threads + nodes]
            for engine in (DLLAMA, LLAMA)
            for nodes in (1, 2)
            for threads in range(1, 24)
        },
        {"axes": ("engine", "nodes", "threads")},
    ),
}  # fmt: skip


def _cost(_folder: Path) -> Study:
    return study_of(*cost_frames(machine(np.random.default_rng(5))))


def _no_cost(_folder: Path) -> Study:
    return study_of(*cost_frames(machine(np.random.default_rng(5)), distort=incast))


def _of_frames(name: str) -> Callable[[Path], Study]:
    def made(_folder: Path) -> Study:
        outcomes, options = FRAMES[name]
        return study_of(*make_frames(outcomes, **options))

    return made


def _on_disk(folder: Path) -> Study:
    return _written(make_run(folder))


def _written(run: Path) -> Study:
    account = Account.read(run)
    return study_of(account.manifest, tables_of(account), warnings=account.warnings)


def _petals(_folder: Path) -> Study:
    run, tables = make_frames({("petals", 2): [40.0, 42.0]})
    ids = list(tables.trials["trial_id"])
    tokens = [
        {"trial_id": one, "index": i, "phase": phase, "compute_ms": 2.0, "sync_ms": 30.0}
        for one in ids
        for i, phase in enumerate(("evaluation", *["prediction"] * 4))
    ]
    servers = [
        {
            **{name: token[name] for name in ("trial_id", "index", "phase")}, "position": place,
            "node": node, "layers": 3, "wait_ms": 15.0, "compute_ms": ms,
        }
        for token in tokens
        for place, (node, ms) in enumerate((("pi2", 5.0), ("pi1", 15.0)))
    ]  # fmt: skip
    made = replace(tables, tokens=frame_of(tokens, TOKENS), servers=frame_of(servers, SERVERS))
    return study_of(run, made)


def _gpu_and_pis(_folder: Path) -> Study:
    return study_of(*gpu_frames(pc_and_pis()))


def _software_gpu(_folder: Path) -> Study:
    return study_of(*gpu_frames(pc_and_pis(), gpus={PC: SOFTWARE}, software=[PC]))


def _greedy(folder: Path) -> Study:
    said = {**GOOD, 2: texts(" ran", "."), 3: scores(SCORED[0] + 0.5, SCORED[1])}
    run, made = manifest("f32"), tables(said, "f32")
    return study_of(run, made, agreement=agreed(run, made, run_folder(folder)))


def _scored_documents(_folder: Path) -> Study:
    return study_of(*documents_run())


def _questions(_folder: Path) -> Study:
    return study_of(*make_asked(QUESTIONS, _systems()))


def _systems() -> list[Asked]:
    again = {"text": "It is 4.", "tokens_from": "pieces", "truncated": None}
    return [
        Asked("small", [["4", "Because."], ["4", "It scatters."]]),
        Asked("large", [[again, "Rayleigh scattering."], ["5", "Scattering."]]),
    ]


def _apis_only(_folder: Path) -> Study:
    return study_of(*make_asked(QUESTIONS, [Asked("paid", [["4", "So."]], API)], {"paid": PAID}))


def _replayed(_folder: Path) -> Study:
    old = [{"text": text, "replayed": True} for text in ("4", "So.")]
    systems = [Asked("paid", [old], API), Asked("small", [["4", "Air."]])]
    return study_of(*make_asked(QUESTIONS, systems, {"paid": PAID}))


def _energy_and_prices(folder: Path) -> Study:
    given = {n: [{"q1": "4", "q2": "Seoul"}] for n in (1, 2)}
    run = make_asked_run(folder, {"q1": "2+2?", "q2": "Capital?"}, given)
    api = {"engine": "openai", "model": "gpt", "nodes": 0, "weights": "-", "system": "paid"}
    plan = json.loads((run / RUN_FILE).read_text())
    plan["cells"][1] |= {"params": api, "nodes": []}
    plan["systems"] = {"paid": PAID.model_dump(mode="json")}
    (run / RUN_FILE).write_text(json.dumps(plan))
    for path in sorted((run / ATTEMPTS_FOLDER).glob(f"*/{ATTEMPT_FILE}")):
        record = json.loads(path.read_text())
        if record["cell_id"] == plan["cells"][1]["cell_id"]:
            record["params"] = api
        else:
            counted = {"window_s": 3.0, "joules": {"RAPL package-0": 42.0}}
            record["energy"] = {"ask1": counted}
        path.write_text(json.dumps(record))
    return _written(run)


def _plugs(folder: Path) -> Study:
    run = make_run(folder, nodes=(1, 2), repeats=3)
    fed = {"one": (("pi1",), False), "two": (("pi2",), False)}
    return _written(plug_in(run, fed, lambda _name, at_s: 4.0 + (at_s % 10 > 5)))


def _plugs_and_prices(folder: Path) -> Study:
    _energy_and_prices(folder)
    (run,) = folder.iterdir()
    price = {"per_kwh": 0.32, "currency": "EUR"}
    fed = {"strip": (("ask1", "ask9"), True)}
    return _written(plug_in(run, fed, lambda *_: 9.0, electricity=price))


def _broken_plugs(folder: Path) -> Study:
    run = make_run(folder, engines=(DLLAMA,), nodes=(1, 2), repeats=2)
    fed = {"one": (("pi1", "pi2"), True)}
    reason = "it refuses its password (401): check plug_user and plug_password"
    return _written(plug_in(run, fed, lambda *_: 5.0, broken={"one": reason}))


def _plugs_at_once(folder: Path) -> Study:
    """Two machines as two deployments, one of which ends early, and as one."""
    result, _ = measure(folder, everywhere(folder), study("2x1", "1x2"), nodes=2)
    plan = json.loads((result.folder / RUN_FILE).read_text())
    (result.folder / RUN_FILE).write_text(json.dumps({**plan, "toolkit": "v1"}))
    fed = {"one": (("pi1",), False), "two": (("pi2",), True)}
    return _written(plug_in(result.folder, fed, lambda *_: 5.0, ended_s=(24.0, 60.0)))


def _energy_unknown(_folder: Path) -> Study:
    run, tables = make_frames({(DLLAMA, 1): [10.0, 10.1]})
    nodes = {name: {**facts, "energy_obstacle": "no counter"} for name, facts in run.nodes.items()}
    return study_of(run.model_copy(update={"nodes": nodes}), tables)


def _rated(_folder: Path) -> Study:
    run, tables = make_asked(QUESTIONS, _systems())
    texts = {"sum": ("4", "It is 4."), "why": ("Because.", "Rayleigh scattering.")}
    given = [
        Judgement(
            question=name, answer=answer_hash(text), quality=3 + place, detail=2 + place, at=1.0
        )
        for name, both in texts.items()
        for place, text in enumerate(both)
    ]
    judge = Judge(name="judge", url="https://api.example/v1", model="gpt", temperature=0.0,
                  max_tokens=100, prompt="Which is better?", price=PRICE)  # fmt: skip
    told = [
        Ruling(question=name, first=answer_hash(one), second=answer_hash(other),
                   choice=choice, said="Verdict", served_model=None, at=1.0, read_tokens=5,
                   generated_tokens=2)
        for name, both in texts.items()
        for one, other, choice in ((*both, "first"), (*both[::-1], "second"))
    ]  # fmt: skip
    judges = [Judged(judge=judge, comparisons=tuple(told), broken=())]
    return study_of(run, tables, ratings={"kim": given, "lee": given}, judges=judges)


KINDS: Mapping[str, Callable[[Path], Study]] = {
    **{name: _of_frames(name) for name in FRAMES},
    "on disk": _on_disk,
    "petals": _petals,
    "together or apart": lambda _folder: together_runs(at_once=22.0),
    "machines and prompts and groups and noise": lambda _folder: combined(),
    "prompt lengths": lambda _folder: study_of(*prompt_lengths()),
    "prompts before nothing": lambda _folder: study_of(*prompt_lengths(LLAMA)),
    "GPU and Pis": _gpu_and_pis,
    "software GPU": _software_gpu,
    "named machines": lambda _folder: study_of(*placed_frames(each_and_roots())),
    "greedy": _greedy,
    "documents": _scored_documents,
    "questions": _questions,
    "APIs only": _apis_only,
    "replayed answers": _replayed,
    "energy and prices": _energy_and_prices,
    "energy unknown": _energy_unknown,
    "smart plugs": _plugs,
    "smart plugs and prices": _plugs_and_prices,
    "broken smart plugs": _broken_plugs,
    "smart plugs, several at once": _plugs_at_once,
    "ratings and judges": _rated,
    "cost model": _cost,
    "cost model, refused": _no_cost,
    "noise": lambda _folder: study_of(*noisy_frames({1: 10.0, 2: 10.2, 4: 25.0})),
    "noise, broken": lambda _folder: study_of(*noisy_frames({1: 10.0, 2: 15.0}, second=1.3)),
    "fine-tuned, speeds": lambda _folder: study_of(*make_benchmark(TUNED_SPEEDS)),
    "fine-tuned, questions": lambda _folder: asked_before_and_after({BASE: 1, TUNED: 3}, 4),
    "fine-tuned, refused": lambda _folder: study_of(
        *make_benchmark(TUNED_SPEEDS, read={BASE: "ba" * 32, TUNED: "ba" * 32})
    ),
}
"""Kind of run to what makes its study, in an empty folder."""
