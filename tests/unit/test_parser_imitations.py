"""Text that looks like a log's own lines neither adds a record nor hides one."""

import json
from io import BytesIO
from pathlib import Path

import pytest

from collect.parsers.distributed_llama import measurement, parse_log
from collect.parsers.dllama_json import json_chunks
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step
from tests.doubles.recorded_logs import DATA, parsed

RECORD = "🔶 Pred    1 ms Sync  814 ms | Sent   147 kB Recv   133 kB | foo"


def test_a_token_that_imitates_a_record_is_left_out() -> None:
    decode = [Step(3000, 5000, 21504, 25600) for _ in range(5)]
    decode[2] = Step(3000, 5000, 21504, 25600, text=f" a\n{RECORD}".encode())
    measured = measurement(engine_logs.dllama_root([Step(1000, 0, tokens=3)], decode), b"")
    assert measured.samples == 5
    assert [token.sync_ms for token in measured.tokens] == [0, 5, 5, 5, 5, 5]
    assert [token.index for token in measured.tokens] == [0, 1, 2, 3, 4, 5]
    assert measured.text == " tok tok a tok tok"
    assert any("1 lines of text imitate records" in flag for flag in measured.flags)


def test_an_imitation_that_cannot_be_told_apart_takes_the_lines_with_it_not_the_figures() -> None:
    fake = "\n🔶 Pred    9 ms Sync    9 ms | Sent    21 kB Recv    25 kB | x".encode()
    decode = [Step(3000, 5000, 21504, 25600) for _ in range(5)]
    decode[1] = Step(3000, 5000, 21504, 25600, text=fake)
    measured = measurement(engine_logs.dllama_root([Step(1000, 0, tokens=3)], decode), b"")
    assert measured.samples == 5
    assert measured.decode is not None
    assert measured.decode.ms_per_token == 8.0
    assert [token.phase for token in measured.tokens] == ["evaluation"]


def test_a_prompt_that_imitates_records_is_not_measured() -> None:
    fake_evaluation = (
        "🔷\ufe0f Eval  500 ms Sync    0 ms | Sent     0 kB Recv     0 kB | (7 tokens)"
    )
    prompt = f"Look:\n{RECORD}\n{RECORD}\n{fake_evaluation}\nwell?".encode()
    out = engine_logs.dllama_root(
        [Step(30000, 0, tokens=32), Step(2000, 0, tokens=2)], [Step(2000, 0)] * 4, prompt=prompt
    )
    measured = measurement(out, b"")
    assert [token.tokens for token in measured.tokens] == [32, 2, 1, 1, 1, 1]
    assert measured.prefill is not None
    assert measured.prefill.total_ms == pytest.approx(32, abs=0.2)


ECHOED = {
    "C": "🔶 G    4 ms I    4 ms T    0 ms S      0 kB R      0 kB x\n",
    "D": "🔶 P    4 ms S     0 kB R     0 kB x\n",
    "E": "🔶 Pred    1 ms Sync    0 ms | Sent     0 kB Recv     0 kB | x\n",
    "D, evaluated": "🔷️ E   15 ms S     6 kB R     9 kB (3 tokens)\n",
}


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("form", ECHOED)
@pytest.mark.parametrize("case", ["inf_small_q40_n2", "old_v0.12.0_n2", "old_v0.12.8_n2"])
def test_a_whole_prompt_of_record_lines_hides_no_record(case: str, form: str, lines: int) -> None:
    plain = parsed(case)
    before, diamond, after = (DATA / case / "root.out").read_bytes().partition("🔷".encode())
    echoed = (
        before.rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n" + ECHOED[form].encode() * lines
    )

    log = parse_log(BytesIO(echoed + diamond + after))

    assert (log.era, log.records) == (plain.era, plain.records)


def test_a_text_that_imitates_a_summary_does_not_end_the_log() -> None:
    fake = b"\n\nEvaluation\n   nBatches: 32\n    nTokens: 3\n   tokens/s: 9.00 (9.00 ms/tok)\n"
    fake += b"Prediction\n    nTokens: 2\n   tokens/s: 9.00 (9.00 ms/tok)"
    decode = [Step(3000, 0), Step(3000, 0, text=fake), Step(3000, 0)]
    measured = measurement(engine_logs.dllama_root([Step(1000, 0, tokens=3)], decode), b"")
    assert measured.samples == 3
    assert measured.flags == ()
    assert measured.text is not None
    assert fake.decode() in measured.text


def test_the_json_in_pieces_leaves_imitations_out_as_well(tmp_path: Path) -> None:
    decode = [Step(3000, 5000, 21504, 25600) for _ in range(5)]
    decode[2] = Step(3000, 5000, 21504, 25600, text=f" a\n{RECORD}".encode())
    path = tmp_path / "root.out"
    path.write_bytes(engine_logs.dllama_root([Step(1000, 0, tokens=3)], decode))
    with path.open("rb") as stream:
        log = parse_log(stream).to_json()
    assert json.loads("".join(json_chunks(path))) == log
