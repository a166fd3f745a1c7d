"""llama.cpp's programs are read, and their failures told in one sentence."""

import json
from pathlib import Path

import pytest

from collect.measurement import Phase
from collect.parsers import llama_cpp
from core.errors import HerdError
from tests.doubles import engine_logs

DATA = Path(__file__).parents[1] / "data" / "llama-cpp"
BENCH = ("/opt/llama-herd/engines/llama.cpp/bin/llama-bench", "--output", "jsonl")


@pytest.mark.parametrize(
    ("name", "prompt", "generated"),
    [
        ("bench-n1.jsonl", (192, 453.235636), (96, 738.752049)),
        ("bench-n2.json", (192, 483.451617), (96, 391.708134)),
        ("sm-tensor.jsonl", (64, 215.87882), (32, 404.282503)),
    ],
)
def test_llama_bench_is_read_in_both_formats_with_its_samples_summed_up(
    name: str, prompt: tuple[int, float], generated: tuple[int, float]
) -> None:
    measured = llama_cpp.measurement(BENCH, (DATA / name).read_bytes(), b"")
    assert measured.prefill is not None
    assert measured.decode is not None
    assert (measured.prefill.tokens, measured.prefill.total_ms) == prompt
    assert (measured.decode.tokens, measured.decode.total_ms) == generated
    assert measured.samples == generated[0]
    assert measured.decode.compute_ms is None
    assert measured.flags == ()


def test_llama_bench_torn_anywhere_is_no_measurement() -> None:
    whole = (DATA / "bench-n1.jsonl").read_bytes().rstrip()
    for size in range(0, len(whole), 11):
        with pytest.raises(HerdError):
            llama_cpp.measurement(BENCH, whole[:size], b"")


def test_llama_bench_without_its_generating_test_tells_why() -> None:
    first = (DATA / "bench-n1.jsonl").read_bytes().splitlines(keepends=True)[0]
    err = (DATA / "midkill-llama-bench.err").read_bytes()
    with pytest.raises(HerdError, match="before its test of generating: an RPC worker crashed"):
        llama_cpp.measurement(BENCH, first, err)


@pytest.mark.parametrize(
    "damage",
    [
        {"samples_ns": []},
        {"samples_ns": [0]},
        {"samples_ns": "soon"},
        {"n_gen": None},
        {"n_prompt": 0, "n_gen": 0},
        {"avg_ns": "x"},
    ],
)
def test_a_result_that_cannot_be_is_refused(damage: dict[str, object]) -> None:
    tests = [json.loads(line) for line in engine_logs.llama_bench(8, 10, 8, 10).splitlines()]
    out = "\n".join(json.dumps(test | damage) for test in tests)
    with pytest.raises(HerdError):
        llama_cpp.measurement(BENCH, out.encode(), b"")


def test_of_several_depths_the_prompt_is_the_first_and_generating_is_after_it() -> None:
    def made(prompt: int, generated: int, depth: int, took_ns: int) -> str:
        test = {"n_prompt": prompt, "n_gen": generated, "n_depth": depth}
        return json.dumps(test | {"samples_ns": [took_ns], "avg_ns": float(took_ns)})

    lines = [made(16, 0, 0, 10), made(0, 8, 0, 20), made(16, 0, 16, 30), made(0, 8, 16, 40)]
    found = llama_cpp.bench("\n".join(lines), "")
    assert found.prefill == Phase(tokens=16, total_ms=10 / 1e6)
    assert found.decode == Phase(tokens=8, total_ms=40 / 1e6)
    assert found.flags == ()


@pytest.mark.parametrize("out", [b"[" * 100_000, b"[1, 2]", b'{"n_prompt": 1}', b"", b"[]", b"5"])
def test_an_output_that_is_no_result_is_refused(out: bytes) -> None:
    with pytest.raises(HerdError):
        llama_cpp.measurement(BENCH, out, b"")


def test_perplexity_is_the_final_estimate_wherever_it_is_printed() -> None:
    argv = ("llama-perplexity",)
    recorded = (DATA / "ppl.out").read_bytes()
    for out, err in ((recorded, b""), (b"", recorded)):
        measured = llama_cpp.measurement(argv, out, err)
        assert (measured.samples, measured.perplexity) == (1, 34206.3583)
    torn = recorded.partition(b"Final")[0]
    with pytest.raises(HerdError, match="before its estimate"):
        llama_cpp.measurement(argv, torn, b"")
    with pytest.raises(HerdError, match="no perplexity: nan"):
        llama_cpp.measurement(argv, b"Final estimate: PPL = nan +/- nan", b"")


def test_completion_has_text_and_times() -> None:
    measured = llama_cpp.measurement(
        ("llama-completion",),
        (DATA / "completion-n1.out").read_bytes(),
        (DATA / "completion-n1.err").read_bytes(),
    )
    assert measured.prefill is not None
    assert measured.decode is not None
    assert (measured.prefill.tokens, measured.prefill.total_ms) == (5, 9.87)
    assert (measured.decode.tokens, measured.decode.total_ms) == (23, 77.1)
    assert measured.samples == 24
    assert measured.text is not None
    assert measured.text.startswith(" Hello world this is")


def test_an_unknown_program_is_refused_by_name() -> None:
    with pytest.raises(HerdError, match="/bin/true is none of llama-bench"):
        llama_cpp.measurement(("/bin/true",), b"", b"")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent-llama-bench.out", "could not connect to the RPC worker at 127.0.0.1:59999"),
        ("absent-llama-completion.out", "could not connect to the RPC worker at 127.0.0.1:59999"),
        ("busy.out", "the port is taken"),
        ("midkill-llama-bench.err", "an RPC worker crashed, was killed or lost its connection"),
        ("midkill2.err", "an RPC worker crashed, was killed or lost its connection"),
        ("mismatch.err", "the RPC worker at 127.0.0.1:50701 speaks protocol 7.0.0"),
        ("sm-row.err", "could not load the model: device RPC0 does not support split buffers"),
        ("garbagesrv.out", None),
        ("completion-n1.err", None),
        ("worker-n2-1.log", None),
    ],
)
def test_a_failure_is_told_in_one_sentence(name: str, words: str | None) -> None:
    cause = llama_cpp.failure_cause("", (DATA / name).read_text(errors="replace"))
    if words is None:
        assert cause is None
    else:
        assert cause is not None
        assert words in cause
        assert "\n" not in cause


def test_the_double_has_only_fields_of_the_real_one_and_is_read_alike() -> None:
    real = json.loads((DATA / "bench-n1.jsonl").read_text().splitlines()[0])
    out = engine_logs.llama_bench(32, 5_000_000, 16, 7_000_000)
    for line in out.splitlines():
        test = json.loads(line)
        assert {name: type(value) for name, value in test.items() if name not in real} == {}
        assert all(type(test[name]) is type(real[name]) for name in ("n_prompt", "samples_ns"))
    assert llama_cpp.measurement(BENCH, out, b"").samples == 16
