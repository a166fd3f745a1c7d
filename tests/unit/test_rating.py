"""Blind rating: what a rater sees, what is stored, and what a sheet that comes back may hold."""

from __future__ import annotations

import csv
import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collect.ratings import Judgement, answer_hash, read_judgements, read_ratings
from core.errors import HerdError
from core.local_site.answers import HEADERS
from experiments.rating import lines as lines_module
from experiments.rating.server import Rating, RatingServer
from experiments.rating.sheet import SheetKey, find_asked, label_of, load_key, open_sheet
from experiments.rating.spreadsheet import COLUMNS, read_sheet, write_sheet
from experiments.rating.store import judgements_of, rater_name
from tests.doubles.asked_run import ENGINE, MODEL, make_asked_run
from tests.doubles.serving import serving

QUESTIONS = {"why": "Why is it slow?", "느린-노드": "왜 느립니까?"}
GIVEN = {
    1: [{"why": "One waits.", "느린-노드": "모두가 기다립니다."}],
    2: [{"why": "=1+1", "느린-노드": " 모두가 기다립니다.\n"}],
    4: [{"why": "Nobody knows.", "느린-노드": "🦙"}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_asked_run(tmp_path / "results", QUESTIONS, GIVEN)


def a_judgement(**changes: Any) -> Judgement:  # noqa: ANN401
    return Judgement.model_validate(
        {"at": 1.0, "question": "why", "answer": answer_hash("One waits."), "quality": 4} | changes
    )


# -- what is shown


def test_an_answer_that_several_systems_gave_is_shown_once(run: Path) -> None:
    sheet = open_sheet(run, "kim", "kim")
    shown = {one.question.id: sorted(a.text for a in one.answers) for one in sheet.asked}
    assert shown == {
        "why": ["=1+1", "Nobody knows.", "One waits."],
        "느린-노드": ["모두가 기다립니다.", "🦙"],
    }
    assert sheet.size == 5


def test_of_a_cell_its_first_repeat_is_shown(tmp_path: Path) -> None:
    given = {1: [{"why": "first"}, {"why": "second"}]}
    sheet = open_sheet(make_asked_run(tmp_path, {"why": "Why?"}, given), "kim", "kim")
    assert [shown.text for shown in sheet.asked[0].answers] == ["first"]


def test_labels_stay_when_a_sheet_is_opened_again_and_new_answers_come_after_them(
    tmp_path: Path,
) -> None:
    texts = {nodes: [{"why": f"answer {nodes}"}] for nodes in range(1, 9)}
    half = dict(list(texts.items())[:4])
    folder = make_asked_run(tmp_path / "a", {"why": "Why?"}, half)
    before = open_sheet(folder, "kim", "kim").asked[0].answers
    assert open_sheet(folder, "kim", "kim").asked[0].answers == before

    whole = make_asked_run(tmp_path / "b", {"why": "Why?"}, texts)
    (folder / "ratings").rename(whole / "ratings")
    after = open_sheet(whole, "kim", "kim").asked[0].answers
    assert after[:4] == before
    assert [shown.label for shown in after] == list("ABCDEFGH")


def test_the_order_differs_between_raters_and_questions_and_can_be_drawn_again() -> None:
    answers = {f"{number:064x}": "text" for number in range(8)}
    texts = dict.fromkeys(("one", "two"), answers)
    keys = [SheetKey(sheet="s", rater=None, seed=seed).extended(texts) for seed in (1, 2, 1)]
    assert keys[0] == keys[2]
    orders = {key.order[question] for key in keys for question in texts}
    assert len(orders) == 4
    assert all(sorted(order) == sorted(answers) for order in orders)


def test_every_place_is_as_likely_for_every_answer() -> None:
    texts = {"q": {"a": "", "b": "", "c": ""}}
    keys = [SheetKey(sheet="s", rater=None, seed=seed).extended(texts) for seed in range(3000)]
    for position in range(3):
        for answer in "abc":
            share = sum(key.order["q"][position] == answer for key in keys) / 3000
            assert 0.29 < share < 0.38


def test_labels_go_on_after_z() -> None:
    assert [label_of(n) for n in (0, 25, 26, 27, 52, 701, 702)] == [
        "A", "Z", "AA", "AB", "BA", "ZZ", "AAA",
    ]  # fmt: skip


def test_the_seed_and_the_order_lie_in_the_key(run: Path) -> None:
    sheet = open_sheet(run, "kim", "kim")
    key = load_key(run, "kim")
    assert key is not None
    assert [shown.answer for shown in sheet.asked[0].answers] == list(key.order["why"])
    assert (
        SheetKey(sheet="kim", rater="kim", seed=key.seed).extended(
            {q: dict.fromkeys(order, "") for q, order in key.order.items()}
        )
        == key
    )


def test_a_run_that_asked_nothing_cannot_be_rated(tmp_path: Path) -> None:
    from tests.doubles.run_folder import make_run  # noqa: PLC0415 - this test alone needs it

    results = tmp_path / "results"
    other = make_run(results)
    with pytest.raises(HerdError, match=r"no run in .* asked questions"):
        find_asked(results, None)
    with pytest.raises(HerdError, match=f"the run {other.name} asked no questions"):
        find_asked(results, other.name)
    asked = make_asked_run(results, QUESTIONS, GIVEN)
    assert find_asked(results, None) == asked


# -- what is stored


def test_a_judgement_is_on_disk_when_it_is_stored_and_the_last_one_counts(run: Path) -> None:
    with judgements_of(run, "kim") as store:
        assert store.add(a_judgement())
        assert read_ratings(run) == {"kim": (a_judgement(),)}
        assert store.add(a_judgement(at=2.0, quality=5, comment="좋음"))
        assert not store.add(a_judgement(at=3.0, quality=5, comment="좋음")), "it says nothing new"

    assert len(read_judgements(run / "ratings" / "kim.jsonl")) == 2, "nothing is overwritten"
    (counts,) = read_ratings(run)["kim"]
    assert (counts.quality, counts.comment) == (5, "좋음")


def test_what_a_crash_tore_off_is_cut_away_and_the_rest_stays(run: Path) -> None:
    file = run / "ratings" / "kim.jsonl"
    line = a_judgement().model_dump_json().encode() + b"\n"
    for torn in range(0, len(line), 7):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(line + line[:torn])
        assert read_ratings(run)["kim"] == (a_judgement(),)
        with judgements_of(run, "kim") as store:
            store.add(a_judgement(quality=1))
        assert [one.quality for one in read_judgements(file)] == [4, 1]


def test_a_rater_who_is_killed_loses_nothing_that_was_stored(run: Path) -> None:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        with judgements_of(run, "kim") as store:
            store.add(a_judgement())
            os.write(write_end, b"stored")
            signal.pause()
    os.read(read_end, 6)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    with judgements_of(run, "kim") as store:
        assert store.get("why", answer_hash("One waits.")) == a_judgement()


def test_a_full_disk_leaves_the_file_as_it_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:20])
        raise OSError(28, "No space left on device")

    with judgements_of(run, "kim") as store:
        store.add(a_judgement())
        with monkeypatch.context() as patch:
            patch.setattr(lines_module, "_write", full)
            with pytest.raises(HerdError, match="disk of this machine is full"):
                store.add(a_judgement(quality=1))
        store.add(a_judgement(quality=2))
    assert [one.quality for one in read_judgements(run / "ratings" / "kim.jsonl")] == [4, 2]


def test_two_at_once_as_the_same_rater_are_refused(run: Path) -> None:
    with (
        judgements_of(run, "kim"),
        judgements_of(run, "lee"),
        pytest.raises(HerdError, match=r"Another `fab rate` of kim is running"),
        judgements_of(run, "kim"),
    ):
        pass


def test_a_damaged_line_is_told_with_its_place(run: Path) -> None:
    file = run / "ratings" / "kim.jsonl"
    file.parent.mkdir()
    bad = a_judgement().model_dump_json().replace('"quality":4', '"quality":6')
    file.write_text(f"{a_judgement().model_dump_json()}\n{bad}\n")
    with pytest.raises(
        HerdError,
        match=r"kim\.jsonl, line 2: this is not a valid judgement \(quality",
    ):
        read_ratings(run)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "sheet-12", "x" * 41, "a\n"])
def test_a_name_that_cannot_be_a_files_is_refused(name: str) -> None:
    if name.strip() == "a":
        assert rater_name(name) == "a"
        return
    with pytest.raises(HerdError, match="cannot be a rater's name"):
        rater_name(name)


def test_a_korean_name_is_the_same_however_it_was_composed() -> None:
    assert rater_name("\u1100\u1175\u11b7") == "김"


# -- the page


@contextmanager
def served(run: Path) -> Iterator[RatingServer]:
    """The page of the rater kim, as `fab rate` serves it."""
    with judgements_of(run, "kim") as store:
        sheet = open_sheet(run, "kim", "kim")
        with RatingServer(Rating(sheet, store), lambda _line: None) as server, serving(server):
            yield server


def request(
    server: RatingServer, method: str, path: str, body: object = None, **headers: str | None
) -> tuple[int, str, str]:
    """Status, headers and content of an answer; the path is below the token if it is relative."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    base = f"http://127.0.0.1:{server.server_port}"
    sent = {"Host": base.removeprefix("http://")}
    content = None
    if body is not None:
        sent |= {"Origin": base, "Content-Type": "application/json"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for name, value in headers.items():
        sent[name.replace("_", "-")] = value  # type: ignore[assignment]
    sent = {name: value for name, value in sent.items() if value is not None}
    whole = path if path.startswith("/") else f"/{server.token}/{path}"
    connection.request(method, whole, content, sent)
    reply = connection.getresponse()
    told = reply.status, str(reply.headers), reply.read().decode()
    connection.close()
    return told


POSTED = {"question": "why", "label": "B", "scores": {"quality": 4}, "comment": "나쁘지 않음"}


def test_no_response_names_a_system_a_run_or_what_ran_it(run: Path) -> None:
    with served(run) as server:
        replies = [
            request(server, "GET", path)
            for path in ("", "rate.css", "rate.js", "sheet", "kim.key.json", "../kim.key.json")
        ]
        replies.append(request(server, "POST", "judgement", POSTED))
        replies.append(request(server, "POST", "judgement", {**POSTED, "label": "Z"}))
        replies.append(request(server, "PUT", "sheet"))
        (run / "ratings" / "kim.jsonl").unlink()
        os.close(server.rating.store._lines._descriptor)
        replies.append(request(server, "POST", "judgement", {**POSTED, "label": "A"}))
        server.rating.store._lines._descriptor = os.open(os.devnull, os.O_RDWR)

    assert [status for status, _, _ in replies] == [
        200, 200, 200, 200, 404, 404, 200, 400, 501, 500,
    ]  # fmt: skip
    told = "\n".join(headers + content for _, headers, content in replies)
    hidden = [ENGINE, "llama.cpp", MODEL, "stories15m", "cell000", run.name, "ask1", str(run)]
    key = load_key(run, "kim")
    assert key is not None
    hidden += [str(key.seed), *key.order["why"]]
    assert [word for word in hidden if word in told] == []
    assert "One waits." in told
    assert "모두가 기다립니다." in told


def test_what_is_judged_is_stored_for_the_answer_behind_the_label(run: Path) -> None:
    with served(run) as server:
        status, _, _ = request(server, "POST", "judgement", POSTED)
        assert status == 200
        (stored,) = read_ratings(run)["kim"]
        sheet = json.loads(request(server, "GET", "sheet")[2])

    (shown,) = [one for one in sheet["questions"][0]["answers"] if one["label"] == "B"]
    assert stored.answer == answer_hash(shown["text"])
    assert (stored.question, stored.scores, stored.comment) == (
        "why",
        {"quality": 4},
        "나쁘지 않음",
    )
    assert (shown["scores"], shown["comment"]) == ({"quality": 4}, "나쁘지 않음")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Content_Type": "text/plain"}, 403),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 403),
        ({"Content_Length": "99999999"}, 413),
        ({"Content_Length": "-1"}, 413),
        ({"Content_Length": "9" * 5000}, 413),
        ({"Content_Length": "+5"}, 413),
        ({"Content_Length": "1_0"}, 413),
        ({"Content_Length": ""}, 413),
    ],
)
def test_who_is_not_the_page_stores_nothing(
    run: Path, headers: dict[str, str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(run) as server:
        body = b"" if "Content_Length" in headers or "Host" in headers else POSTED
        assert request(server, "POST", "judgement", body, **headers)[0] == status
    assert read_ratings(run) == {}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        {},
        {**POSTED, "question": "other"},
        {**POSTED, "label": "D"},
        {**POSTED, "scores": {"quality": 0}},
        {**POSTED, "scores": {"quality": 6}},
        {**POSTED, "scores": {"quality": 4.5}},
        {**POSTED, "scores": {"quality": "4"}},
        {**POSTED, "scores": {"quality": True}},
        {**POSTED, "scores": {"beauty": 4}},
        {**POSTED, "comment": "x" * 4001},
        {**POSTED, "rater": "lee"},
    ],
)
def test_what_is_no_judgement_is_refused(run: Path, body: object) -> None:
    with served(run) as server:
        assert request(server, "POST", "judgement", body)[0] == 400
    assert read_ratings(run) == {}


def test_the_page_is_under_a_random_path_and_of_this_machine_alone(run: Path) -> None:
    with served(run) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert len(server.token) >= 32
        for path in ("/", "/sheet", f"/{server.token}", "/wrong/sheet"):
            assert request(server, "GET", path)[0] == 404
        assert request(server, "GET", "sheet", Host="evil.example")[0] == 403
        assert request(server, "GET", "sheet", Host=f"localhost:{server.server_port}")[0] == 200
        headers = request(server, "GET", "")[1]
    assert all(f"{name}: {value}" in headers for name, value in HEADERS.items())


# -- sheets as CSV


def filled(path: Path, changes: dict[int, dict[str, str]]) -> Path:
    """The sheet with some cells of some rows, from 0, written over."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, cells in changes.items():
        rows[number] |= cells
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


FOUR = {"quality": "4", "detail": "3", "accuracy": "5", "usefulness": "1"}


def test_a_sheet_comes_back_as_judgements(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    sheet = write_sheet(run, path, "김철수")
    filled(path, {0: {**FOUR, "comment": "맞다, 그런데\n짧다"}, 3: {"quality": "2"}})

    read = read_sheet(run, path, None)

    assert (read.rater, read.answers, read.stored) == ("김철수", 2, 2)
    whole, part = read_ratings(run)["김철수"]
    assert whole.answer == sheet.asked[0].answers[0].answer
    assert list(whole.scores.values()) == [4, 3, 5, 1]
    assert whole.comment == "맞다, 그런데\n짧다"
    assert (part.question, part.scores) == ("느린-노드", {"quality": 2})
    assert read_sheet(run, path, None).stored == 0, "a second time nothing is new"


def test_a_sheet_for_anybody_is_read_for_whoever_filled_it_in(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, None)
    filled(path, {0: FOUR})
    with pytest.raises(HerdError, match="column rater is empty"):
        read_sheet(run, path, None)
    assert read_sheet(run, path, "kim").rater == "kim"
    filled(path, {1: {"rater": "lee"}})
    assert read_sheet(run, path, None).rater == "lee"
    assert sorted(read_ratings(run)) == ["kim", "lee"]


def test_a_sheet_names_no_system_and_computes_nothing(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, "kim")
    text = path.read_text(encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "or Excel takes Korean for Latin"
    assert not [word for word in (ENGINE, MODEL, "cell000", run.name) if word in text]
    assert ",'=1+1," in text


def test_a_sheet_that_is_there_already_is_not_written_over(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("precious")
    with pytest.raises(HerdError, match="already exists"):
        write_sheet(run, path, None)
    assert path.read_text() == "precious"


def test_semicolons_and_a_lost_row_do_not_matter(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, "kim")
    filled(path, {0: FOUR})
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))[:3]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    assert read_sheet(run, path, None).answers == 1


def test_every_mistake_is_told_by_its_line_and_nothing_is_stored(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, "kim")
    filled(
        path,
        {
            0: {**FOUR, "comment": "two\nlines"},
            1: {**FOUR, "quality": "6", "detail": "good"},
            2: {"question": "other", "quality": "1"},
            3: {"label": "Q"},
            4: {"label": "a", "quality": "4.5", "comment": "x" * 4001},
        },
    )
    with pytest.raises(HerdError) as caught:
        read_sheet(run, path, None)

    places = [line.partition(": ")[0] for line in str(caught.value).splitlines()]
    assert places == [
        *[f"{path}, line {line}" for line in (4, 4, 5, 6, 7, 7)],
        "Nothing was stored. Correct the file and import it again.",
    ]
    told = str(caught.value)
    assert "quality is '6'; write a whole number from 1 to 5, or nothing" in told
    assert "detail is 'good'" in told
    assert "there is no question 'other' (only why, 느린-노드)" in told
    assert "느린-노드 has no answer 'Q' (only A, B)" in told
    assert read_ratings(run) == {}


def test_the_same_answer_twice_is_a_mistake(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, "kim")
    filled(path, {0: FOUR, 2: {"label": "a"}})
    with pytest.raises(
        HerdError,
        match=r"line 4: answer A to why .*appears twice \(first on line 2\)",
    ):
        read_sheet(run, path, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: the column sheet is missing"),
        (b"sheet,question\n", "line 1: the column rater is missing"),
        (",".join(COLUMNS).encode(), "has no rows"),
        ("느린".encode("cp949"), "Save it as `CSV UTF-8`"),
        (",".join(COLUMNS).encode() + b'\nx,kim,why,"A" b', "line 2: this is not CSV"),
        (",".join(COLUMNS).encode() + b"\nx,kim,why,A", "has no sheet x"),
        (",".join(COLUMNS).encode() + b"\n../x,kim,why,A", "has no sheet ../x"),
        (",".join(COLUMNS).encode() + b"\nx\0y,kim,why,A", r"has no sheet x\x00y"),
        (",".join(COLUMNS).encode() + b"\n..,kim,why,A", "has no sheet .."),
        (",".join(COLUMNS).encode() + b"\n" + b"x" * 200_000 + b",kim,why,A", "has no sheet xxx"),
        (b"PK\x03\x04" + b"\0" * 100, "line 1: the column sheet is missing"),
        (b"," * (64 << 20) + b",,", "has more than 64 MiB"),
        (",".join(COLUMNS).encode() + b"\nx,kim,why,A\nx,lee,why,B", "line 3: the rater is lee"),
    ],
)
def test_what_is_no_sheet_is_told(run: Path, tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(content)
    with pytest.raises(HerdError) as caught:
        read_sheet(run, path, None)
    assert told in str(caught.value)


def test_a_sheet_with_a_long_answer_is_read_back(tmp_path: Path) -> None:
    run = make_asked_run(tmp_path / "results", {"why": "Why?"}, {1: [{"why": "so " * 60_000}]})
    path = tmp_path / "sheet.csv"
    write_sheet(run, path, "kim")

    assert read_sheet(run, filled(path, {0: FOUR}), None).stored == 1


def test_a_sheet_of_many_mistakes_does_not_fill_the_terminal(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    name = write_sheet(run, path, "kim").name
    row = f"{name},kim,no such,A" + "," * (len(COLUMNS) - 4)
    path.write_text("\n".join([",".join(COLUMNS), *[row] * 100]))

    with pytest.raises(HerdError, match=r"and \d+ more mistakes") as caught:
        read_sheet(run, path, None)
    assert len(str(caught.value)) < 5000


def test_a_missing_sheet_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="No such file"):
        read_sheet(run, tmp_path / "none.csv", None)
