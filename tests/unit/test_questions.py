"""The workload `questions`: its file, what engines run for it, and what is read from the logs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.report import compose, write_report
from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from collect.cells import CellRecord, TrialRecord
from collect.measurement import Measurement
from collect.parsers import answers
from collect.parsers.of_attempt import failure_of_attempt, parse_attempt
from collect.parsers.parser import parser_of
from collect.questions import Question, load_questions
from collect.run import RunManifest
from collect.tables import Tables, build_tables
from collect.workloads import Questions
from core.errors import HerdError
from experiments.engines import ENGINES, ON_NODES
from experiments.engines import chat_server as asking
from experiments.engines.base import Cell, Deployment
from experiments.engines.distributed_llama import DistributedLlama
from experiments.fleet.cluster import Cluster
from experiments.planning.matrix import load_matrix
from models.catalogue import load_catalogue
from tests.unit.test_engines import cluster, option

PROJECT = Path(__file__).resolve().parents[2]
RECORDED = PROJECT / "tests" / "data" / "questions"
SIX = load_questions(PROJECT / "experiments" / "questions" / "six.yml")
ASKED = (Question(id="q1", text="What is 7 % of 100 $?\nSay why."), Question(id="q2", text="왜?"))
WORKLOAD = Questions(file="q.yml", asked=ASKED, chat_template="llama2", max_tokens=20)


def cell(engine: str, workload: Questions = WORKLOAD, **params: object) -> Cell:
    axes = {axis.name: axis.default for axis in ENGINES[engine].axes if not axis.goes_with}
    common = {"engine": engine, "model": "stories15m", "nodes": 2, "weights": "f32"}
    return Cell(params={**axes, "workers": "fresh", **common, **params}, workload=workload)  # type: ignore[dict-item]


def deployed(engine: str, workload: Questions = WORKLOAD, **params: object) -> Deployment:
    return ENGINES[engine].deploy(cell(engine, workload, **params), cluster())


# -- the file


def test_the_shipped_questions_are_six_in_two_languages() -> None:
    assert len(SIX) == 6
    korean = [question for question in SIX if any("가" <= sign <= "힣" for sign in question.text)]
    assert len(korean) == 3


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        ("- {id: a, text: b}\n- {id: a, text: c}", "two questions have the id a"),
        ("- {id: a b, text: c}", "line 3"),
        ("- {id: a}", "line 3"),
        ("- {id: a, text: b, key: {kind: regex, value: '('}}", "is not a valid regular expression"),
        ("- {id: a, text: b, key: {kind: numeric, value: seven}}", "must be a number"),
        ("- {id: a, text: b, answer: c}", "line 3"),
        ("  []", "line 2"),
    ],
)
def test_a_mistake_in_a_file_of_questions_is_told_with_its_place(
    tmp_path: Path, questions: str, told: str
) -> None:
    file = tmp_path / "q.yml"
    file.write_text(f"title: Mine\nquestions:\n{questions}\n")

    with pytest.raises(HerdError) as caught:
        load_questions(file)

    assert str(file) in str(caught.value)
    assert told in str(caught.value)


def test_a_run_holds_its_questions_and_other_questions_make_another_run(tmp_path: Path) -> None:
    def loaded(text: str) -> Questions:
        (tmp_path / "q.yml").write_text(f"title: Mine\nquestions: [{{id: q, text: {text}}}]\n")
        matrix = tmp_path / "m.yml"
        workload = f"{{kind: questions, file: {tmp_path / 'q.yml'}}}"
        matrix.write_text(f"title: M\nworkload: {workload}\naxes: {{model: [stories15m]}}\n")
        found = load_matrix(matrix).workload
        assert isinstance(found, Questions)
        return found

    assert loaded("Why").asked == (Question(id="q", text="Why"),)
    assert loaded("Why").model_dump() != loaded("How").model_dump()


def test_a_missing_file_of_questions_is_named(tmp_path: Path) -> None:
    matrix = tmp_path / "m.yml"
    matrix.write_text("title: M\nworkload: {kind: questions, file: nowhere.yml}\n")

    with pytest.raises(HerdError, match=r"the file of questions .*nowhere\.yml"):
        load_matrix(matrix)


# -- what runs


@pytest.mark.parametrize("engine", ON_NODES)
def test_servers_listen_on_the_loopback_address_alone(engine: str) -> None:
    server = deployed(engine).server

    assert server is not None
    assert option(server.argv, "--host") == "127.0.0.1"
    assert option(server.argv, "--port") == str(server.listen_port)
    assert server.ready_line


@pytest.mark.parametrize("engine", ON_NODES)
def test_the_client_is_on_the_servers_node_and_asks_every_question_once(engine: str) -> None:
    deployment = deployed(engine)

    assert deployment.server is not None
    assert deployment.root.node == deployment.server.node
    assert deployment.expected_samples == 2
    program, url, _silence_s, *questions = deployment.root.argv
    assert program == asking.CLIENT
    assert url == "http://127.0.0.1:9980/v1/chat/completions"
    sent = [json.loads(text) for text in questions]
    assert [question["id"] for question in sent] == ["q1", "q2"]
    assert [question["body"]["messages"] for question in sent] == [
        [{"role": "user", "content": question.text}] for question in ASKED
    ]
    assert {question["body"]["cache_prompt"] for question in sent} == {False}
    assert "\n" not in "".join(deployment.root.argv), "an argument on a node is a single line"


def test_workers_are_those_of_other_workloads() -> None:
    workers = [w.node.name for w in deployed("distributed-llama", nodes=4).workers]
    assert workers == ["pi2", "pi3", "pi4"]
    assert [w.node.name for w in deployed("llama.cpp").workers] == ["pi1", "pi2"]
    assert deployed("llama.cpp", nodes=1).workers == ()


def test_dllama_api_gets_the_temperature_that_it_ignores_in_requests() -> None:
    warm = WORKLOAD.model_copy(update={"temperature": 0.7, "seed": 5})
    server = deployed("distributed-llama", warm).server

    assert server is not None
    assert option(server.argv, "--temperature") == "0.7"
    assert option(server.argv, "--seed") == "5"
    assert option(server.argv, "--chat-template") == "llama2"


def test_llama_server_takes_the_name_of_a_template_only_without_jinja() -> None:
    named = deployed("llama.cpp").server
    assert named is not None
    assert "--no-jinja" in named.argv
    own = deployed("llama.cpp", WORKLOAD.model_copy(update={"chat_template": "model"})).server
    assert own is not None
    assert not {"--no-jinja", "--chat-template"} & set(own.argv)


@pytest.mark.parametrize("engine", ON_NODES)
@pytest.mark.parametrize("model", ["stories15m", "synthetic:tiny"])
def test_a_model_without_a_chat_template_is_not_asked_in_a_foreign_one(
    engine: str, model: str
) -> None:
    own = WORKLOAD.model_copy(update={"chat_template": "model"})

    told = ENGINES[engine].check(cell(engine, own, model=model, nodes=1), Cluster(cluster().nodes))

    assert told is not None
    assert told.startswith(f"{model} has no chat template")


def test_a_form_that_dllama_api_does_not_know_is_left_to_the_other_engine() -> None:
    own = WORKLOAD.model_copy(update={"chat_template": "model"})
    asked = {"model": "tinyllama-1.1b", "weights": "q4_0", "nodes": 1}

    told = ENGINES["distributed-llama"].check(cell("distributed-llama", own, **asked), cluster())
    other = ENGINES["llama.cpp"].check(cell("llama.cpp", own, **asked), cluster())

    assert "was trained on (zephyr), only llama2, llama3, deepseek3, chatml" in str(told)
    assert "chat" not in str(other)


@pytest.mark.parametrize("engine", ON_NODES)
def test_every_model_that_chats_can_be_asked_where_its_form_is_known(engine: str) -> None:
    own = WORKLOAD.model_copy(update={"chat_template": "model"})
    catalogue = load_catalogue()
    told = {
        name: str(ENGINES[engine].check(cell(engine, own, model=name, nodes=1), cluster()))
        for name in catalogue.names()
        if catalogue.get(name).chat in DistributedLlama.chat_forms
    }
    assert len(told) > len(DistributedLlama.chat_forms)
    assert not any("chat template" in why or "conversation" in why for why in told.values())


@pytest.mark.parametrize("engine", ON_NODES)
def test_more_tokens_than_the_model_can_hold_are_refused(engine: str) -> None:
    long = WORKLOAD.model_copy(update={"max_tokens": 1000})
    told = ENGINES[engine].check(cell(engine, long, nodes=1), cluster())
    assert "context of 256 tokens" in str(told)


# -- what is read


def recorded(case: str) -> tuple[Path, AttemptRecord]:
    return RECORDED / case, load_attempt(RECORDED / case)


def test_llama_servers_answers_are_counted_by_itself() -> None:
    measured = parse_attempt(*recorded("llama_server_n1"))

    assert measured.samples == 6
    assert [answer.question for answer in measured.answers] == [q.id for q in SIX]
    for answer in measured.answers:
        assert (answer.tokens, answer.tokens_from, answer.truncated) == (12, "usage", True)
        assert answer.prompt_tokens is not None
        assert answer.prompt_tokens > 20, "the question was in what the model read"
        assert answer.ttft_ms is not None
        assert answer.total_ms is not None
        assert 0 < answer.ttft_ms < answer.total_ms
    assert measured.flags == ()


def test_dllama_apis_answers_are_counted_by_pieces_and_said_to_be_so() -> None:
    measured = parse_attempt(*recorded("dllama_api_n2"))

    assert measured.samples == 6
    assert {answer.tokens_from for answer in measured.answers} == {"pieces"}
    assert measured.flags == (
        "the server does not count tokens: pieces are counted, which may be fewer",
    )
    for answer in measured.answers:
        assert answer.prompt_tokens is None
        assert answer.finish_reason == "stop", "upstream says so of every answer"
        assert answer.truncated is (True if answer.tokens == 12 else None)
        assert answer.temperature_used == answer.temperature == 0


def changed(
    case: str, client: dict[str, Any], server: tuple[str, ...] | None = None
) -> Measurement:
    """The measurement of a recorded attempt whose first answer is another one."""
    folder, record = recorded(case)
    root = record.root()
    assert root is not None
    assert root.out_file is not None
    first, *others = (folder / root.out_file).read_text().splitlines()
    line = json.dumps({**json.loads(first), **client})
    argv = next(p.argv for p in record.processes if p.role == "server")
    parser = parser_of(record.params["engine"])
    assert parser is not None
    return answers.measurement(
        root.argv,
        server or argv,
        "\n".join([line, *others]).encode(),
        stops_without_reason=parser.stops_without_reason,
    )


def test_a_temperature_that_a_server_did_not_use_is_flagged() -> None:
    argv = ("/opt/llama-herd/engines/distributed-llama/bin/dllama-api", "--temperature", "0.8")
    measured = changed("dllama_api_n2", {}, argv)
    assert "a temperature of 0 was asked for and the server used 0.8" in measured.flags[-1]


def test_an_answer_that_ended_by_itself_is_not_cut_off() -> None:
    usage = {"completion_tokens": 5}
    measured = changed("llama_server_n1", {"finish_reason": "stop", "usage": usage})
    assert measured.answers[0].truncated is False


def test_without_usage_the_servers_times_count_tokens_then_pieces() -> None:
    timed = changed("llama_server_n1", {"usage": None}).answers[0]
    assert (timed.tokens, timed.tokens_from) == (12, "timings")
    bare = changed("llama_server_n1", {"usage": None, "timings": None, "finish_reason": None})
    assert bare.answers[0].tokens_from == "pieces"


def test_an_empty_answer_is_an_answer_and_flagged() -> None:
    measured = changed("llama_server_n1", {"text": "", "pieces": [], "first_piece_s": None})
    assert measured.samples == 6
    assert measured.answers[0].ttft_ms is None
    assert "answered with nothing: why-slower" in measured.flags


def test_a_refusal_is_flagged_and_is_an_answer() -> None:
    for said in ({"refusal": "I will not"}, {"finish_reason": "content_filter"}):
        measured = changed("llama_server_n1", said)
        assert measured.samples == 6
        assert [answer.refused for answer in measured.answers] == [True] + 5 * [False]
        assert "refused to answer: why-slower" in measured.flags


def test_waiting_for_a_later_try_stands_apart_from_the_times_of_the_answer() -> None:
    plain = changed("llama_server_n1", {}).answers[0]
    earlier = [{"connect_s": 10.0, "wait_s": 1.5}, {"connect_s": 12.0, "wait_s": 1.0}]
    answer = changed("llama_server_n1", {"earlier": earlier, "connect_s": 14.0}).answers[0]

    assert (answer.tries, answer.waited_ms) == (3, 4000.0)
    assert (answer.ttft_ms, answer.total_ms) == (plain.ttft_ms, plain.total_ms)


def test_an_answer_that_was_kept_has_no_times() -> None:
    measured = changed("llama_server_n1", {"replayed": True})
    answer = measured.answers[0]

    assert answer.replayed
    assert (answer.ttft_ms, answer.decode_ms, answer.total_ms) == (None, None, None)
    assert answer.tokens_per_s is None
    assert "answers were kept from an earlier run: they say nothing of time" in measured.flags


def test_halves_of_a_character_in_two_pieces_are_put_together() -> None:
    assert changed("llama_server_n1", {"text": "\ud83e\udd99"}).answers[0].text == "🦙"


def test_a_question_without_an_answer_fails_the_attempt_with_its_reason() -> None:
    with pytest.raises(HerdError, match="The question why-slower has no answer: it stalled"):
        changed("llama_server_n1", {"error": "it stalled"})


def test_a_torn_log_is_told() -> None:
    folder, record = recorded("llama_server_n1")
    root = record.root()
    assert root is not None
    with pytest.raises(HerdError, match="torn"):
        answers.measurement(root.argv, (), b'{"id": "why-slower", "pie')
    assert folder.is_dir()


def test_a_killed_worker_is_the_cause_though_the_server_tries_for_ever() -> None:
    folder, record = recorded("worker_killed")

    told = failure_of_attempt(folder, record.processes, record.params["engine"])

    assert told is not None
    assert told.startswith("the worker on ask2 ended by signal 9 (SIGKILL); the client on ask1")
    assert "the stream was cut before the answer ended" in told


def test_a_server_that_retries_is_the_cause_where_nothing_was_seen_to_die(tmp_path: Path) -> None:
    _, record = recorded("worker_killed")
    (server,) = (p for p in record.processes if p.role == "server")
    words = "🚨 Connection error: Cannot connect\n🔄 Retrying in 3 seconds...\n"
    (tmp_path / "ask1.server.out").write_text(words)

    told = failure_of_attempt(tmp_path, [server], "distributed-llama")

    assert told == "the server on ask1 said: Cannot connect"


# -- tables and report


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of the two recorded attempts and of the one that failed."""
    cases = {"dllama_api_n2": "done", "llama_server_n1": "done", "worker_killed": "failed"}
    records = {case: recorded(case)[1] for case in cases}
    cells = tuple(
        CellRecord(cell_id=r.cell_id, params=r.params, identity={}, nodes=("ask1",))
        for r in records.values()
    )
    trials = tuple(
        TrialRecord(trial_id=r.trial_id, cell_id=r.cell_id, repeat=1, block=1, order=order)
        for order, r in enumerate(records.values(), 1)
    )
    run = RunManifest(
        run="asked",
        title="Questions",
        plan_id="p",
        created_at=1.0,
        matrix_file="experiments/matrices/questions.yml",
        workload=replace_asked(),
        axes={},
        repeats=1,
        seed=1,
        warmup=0,
        max_attempts=1,
        cells=cells,
        trials=trials,
        nodes={"ask1": {}, "ask2": {}},
        engines={},
        models={},
        command=("fab", "run-matrix"),
        toolkit="t",
    )
    for case, record in records.items():
        attempt = tmp_path / run.run / "attempts" / record.attempt_id
        shutil.copytree(RECORDED / case, attempt)
        moved = record.model_copy(update={"run": run.run})
        (attempt / "attempt.json").write_text(moved.model_dump_json())
    (tmp_path / run.run / "run.json").write_text(run.model_dump_json())
    return tmp_path / run.run


def replace_asked() -> Questions:
    return WORKLOAD.model_copy(update={"asked": SIX, "file": "experiments/questions/six.yml"})


def test_the_table_has_every_answer_also_those_that_broke_off(run_folder: Path) -> None:
    table = build_tables(run_folder).answers

    assert len(table) == 6 + 6 + 1
    broken = table[table["error"].notna()]
    assert list(broken["question"]) == ["why-slower"]
    assert list(broken["error"]) == ["the stream was cut before the answer ended"]


def test_the_report_shows_answers_side_by_side_and_claims_no_more_than_that(
    run_folder: Path, tmp_path: Path
) -> None:
    from collect.load import load_run  # noqa: PLC0415 - this test alone needs it

    out = tmp_path / "report"
    out.mkdir()
    tables: Tables = build_tables(run_folder)
    compose(load_run(run_folder), tables, out)
    page = (out / "index.html").read_text()

    assert page.count("<summary><b>") == 6
    assert "느린-노드" in page
    assert "these six questions and for no others" in page
    assert "chunks of its stream were" in page
    csv = pd.read_csv(out / "answers.csv")
    assert len(csv) == 12, "an attempt that failed does not count"
    assert "## Questions and answers" in (out / "report.md").read_text()


def test_a_cell_is_named_by_its_deployment_alone() -> None:
    """Other tokens, other trial: what is sent is part of the client's command line."""
    short = deployed("llama.cpp", WORKLOAD.model_copy(update={"max_tokens": 5}))
    assert replace(short.root, argv=()) == replace(deployed("llama.cpp").root, argv=())
    assert short.root.argv != deployed("llama.cpp").root.argv


# -- what a server says that cannot be

NO_COUNTS = (9.5, "", "9", [1], {}, float("inf"), float("-inf"), float("nan"), -1, True, 10**400)


@pytest.mark.parametrize("odd", NO_COUNTS, ids=str)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "usage", "predicted_n"])
def test_a_count_that_cannot_be_is_left_out_with_a_flag(
    run_folder: Path, name: str, odd: object
) -> None:
    (attempt,) = (run_folder / "attempts").glob("0d48709c4e-*")
    log = attempt / "ask1.client.out"
    first, *others = [json.loads(line) for line in log.read_text().splitlines()]
    if name == "usage":
        first["usage"] = odd
    elif name == "predicted_n":
        first["usage"], first["timings"] = None, {name: odd}
    else:
        first["usage"][name] = odd
    log.write_text("".join(f"{json.dumps(line)}\n" for line in (first, *others)))
    record = json.loads((attempt / "attempt.json").read_text())
    record["file_bytes"][log.name] = log.stat().st_size
    (attempt / "attempt.json").write_text(json.dumps(record))

    tables = build_tables(run_folder)
    answer = tables.answers.set_index("question").loc[first["id"]]
    shown = answer[answer.attempt_id == attempt.name].iloc[0]
    if name == "prompt_tokens":
        assert pd.isna(shown.prompt_tokens)
        assert shown.tokens_from == "usage"
    else:
        assert shown.tokens_from == ("pieces" if name == "predicted_n" else "timings")
        assert shown.tokens == 12
    flags = tables.trials.set_index("attempt_id").loc[attempt.name, "flags"]
    is_flagged = pd.notna(flags) and "the server says what cannot be, which is left out" in flags
    assert is_flagged == (odd != {} or name != "usage")  # an empty object tells nothing
    assert pd.isna(shown.prompt_tokens) or shown.prompt_tokens == 41


@pytest.mark.parametrize(
    "change",
    [
        {"sent_s": float("nan")}, {"done_s": float("inf")}, {"first_piece_s": -1.0},
        {"last_piece_s": 0.0}, {"pieces": None}, {"status": 10**400}, {"status": -1},
        {"text": None}, {"earlier": [{}]}, {"error": 1}, {"id": "unasked"}, {"replayed": "yes"},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_the_client_cannot_have_written_is_torn(change: dict[str, Any]) -> None:
    folder, record = recorded("llama_server_n1")
    client, server = sorted(record.processes, key=lambda process: process.role)[:2]
    first, *_ = (folder / "ask1.client.out").read_text().splitlines()
    told = json.dumps({**json.loads(first), **change}).encode()
    with pytest.raises(HerdError, match=r"log of herd-ask (is torn|answers what was not asked)"):
        answers.read_answers(client.argv, server.argv, told)


def test_an_answer_that_stands_there_twice_is_none() -> None:
    folder, record = recorded("llama_server_n1")
    client = next(p for p in record.processes if p.role == "client")
    first, *_ = (folder / "ask1.client.out").read_bytes().splitlines(keepends=True)
    with pytest.raises(HerdError, match="or twice"):
        answers.read_answers(client.argv, (), first * 2)


def test_whatever_a_parser_raises_the_attempt_is_refused(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Measurement:
        raise ZeroDivisionError("of\nnothing")

    monkeypatch.setattr(answers, "measurement", broken)
    counts = Account.read(run_folder).counts()
    assert (counts["done"], counts["failed"]) == (0, 3)
    assert (
        "(ZeroDivisionError: of nothing)"
        in write_report(run_folder, run_folder.parent / "reports").index.read_text()
    )
