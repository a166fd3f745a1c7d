"""llama.cpp's output: llama-bench, llama-perplexity, llama-completion and the RPC worker.

Formats: upstream's `tools/llama-bench/llama-bench.cpp`, `tools/perplexity/perplexity.cpp`,
`common/common.cpp` and `ggml/src/ggml-rpc/ggml-rpc.cpp` at 0.7.0 (docs/logs.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from collect.measurement import Measurement, Phase
from collect.parsers import llama_cpp_device, llama_server
from collect.parsers.aborted import last_words
from collect.parsers.json_lines import LONGEST_MS, MOST_TOKENS, LogLine, Tokens
from collect.parsers.parser import Ended, Parser
from core.errors import HerdError
from core.foreign import one_line

if TYPE_CHECKING:
    from collect.attempt import Role

# Every run in a pattern is bounded: a log may hold a word of a megabyte.
_ESTIMATE = re.compile(r"Final estimate: PPL(?: over .{1,80}?)? = (\S{1,40})")
_PROMPT_TIME = re.compile(
    r"prompt eval time = {1,20}(\d{1,11}\.\d{1,9}) ms / {1,20}(\d{1,7}) tokens"
)
_EVAL_TIME = re.compile(r": {1,20}eval time = {1,20}(\d{1,11}\.\d{1,9}) ms / {1,20}(\d{1,7}) runs")
_FOR_A_GPU = re.compile(r"-(?:vulkan|cuda)\Z")
"""What the name of a program ends in that was built for that."""

Nanoseconds = Annotated[int, Field(strict=True, ge=1, le=int(LONGEST_MS * 1e6))]


class _Test(LogLine):
    """A test of llama-bench: some tokens read, some generated, each sample in its own time."""

    n_prompt: Tokens
    n_gen: Tokens
    n_depth: Tokens = 0
    samples_ns: Annotated[tuple[Nanoseconds, ...], Field(min_length=1, max_length=MOST_TOKENS)]
    avg_ns: Annotated[float, Field(strict=True, ge=0, le=LONGEST_MS * 1e6)]

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if self.tokens == 0:
            raise ValueError("a test of no token")
        return self

    @property
    def tokens(self) -> int:
        """Of one sample."""
        return self.n_prompt + self.n_gen


_TESTS = TypeAdapter(list[_Test])


def measurement(argv: Sequence[str], root_out: bytes, root_err: bytes) -> Measurement:
    """What the root of an attempt measured.

    Args:
        argv: its command line, which names the program.
        root_out: its standard output.
        root_err: its standard error.

    Raises:
        HerdError: the program is unknown, its output torn, or nothing was measured.
    """
    for argument in argv:
        reader = _READERS.get(_FOR_A_GPU.sub("", PurePosixPath(argument).name))
        if reader is not None:
            out, err = (log.decode(errors="replace") for log in (root_out, root_err))
            return reader(out, err)
    raise HerdError(
        f"Reading the log of llama.cpp: {' '.join(argv[:2])} is none of {', '.join(_READERS)}."
    )


def bench(out: str, err: str) -> Measurement:
    """`llama-bench -o jsonl` or `-o json`: one test of the prompt, one of generating.

    Samples of a test (`-r`) are summed up. Of tests at several depths (`-d`), the prompt is the one
    that was read with the fewest tokens in the context, and generating the one with the most.
    """
    prefill = decode = None
    flags: list[str] = []
    tests = _tests(out, err)
    depths = [test.n_depth for test in tests]
    for test in tests:
        if test.n_depth != (min(depths) if test.n_gen == 0 else max(depths)):
            continue
        sum_ns, samples = sum(test.samples_ns), len(test.samples_ns)
        phase = Phase(tokens=test.tokens * samples, total_ms=sum_ns / 1e6)
        mean_ns = sum_ns / samples
        if abs(mean_ns - test.avg_ns) > 1 + 1e-6 * mean_ns:
            flags.append(f"llama-bench's mean of {test.tokens} tokens is not that of its samples")
        if test.n_gen == 0:
            prefill = phase
        elif test.n_prompt == 0:
            decode = phase
        else:
            flags.append("a test that mixes prompt and generating was left out")
    if decode is None:
        raise HerdError(f"llama-bench ended before its test of generating{_because(out, err)}.")
    return Measurement(
        samples=decode.tokens,
        prefill=prefill,
        decode=decode,
        flags=tuple(flags),
    )


def _tests(out: str, err: str) -> list[_Test]:
    text = out.strip()
    try:
        if text.startswith("["):
            loaded = json.loads(text)
        else:
            loaded = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        tests = _TESTS.validate_python(loaded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = one_line(".".join(map(str, first["loc"])), 100)
        told = f" ({where}: {one_line(first['msg'], 200)})"
        raise HerdError(f"The output of llama-bench is torn{told}{_because(out, err)}.") from None
    except (ValueError, RecursionError):
        raise HerdError(f"The output of llama-bench is torn{_because(out, err)}.") from None
    if not tests:
        raise HerdError(f"llama-bench printed no result{_because(out, err)}.")
    return tests


LEAST_PERPLEXITY = 0.999
"""A perplexity is 1 or more, but for rounding."""


def perplexity(out: str, err: str) -> Measurement:
    """`llama-perplexity`: its last line is the estimate over all windows."""
    estimates = [match for text in (out, err) for match in _ESTIMATE.findall(text)]
    if not estimates:
        raise HerdError(f"llama-perplexity ended before its estimate{_because(out, err)}.")
    try:
        value = float(estimates[-1])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= LEAST_PERPLEXITY):
        raise HerdError(f"llama-perplexity's estimate is no perplexity: {estimates[-1]}.")
    return Measurement(samples=1, prefill=_times(err, out)[0], perplexity=value)


def completion(out: str, err: str) -> Measurement:
    """`llama-completion`: the text (prompt included, as printed) and its own clock."""
    prefill, decode = _times(err, out)
    if decode is None:
        raise HerdError(f"llama-completion ended before its times{_because(out, err)}.")
    # The first token comes out of reading the prompt, so there is one more than runs.
    return Measurement(samples=decode.tokens + 1, prefill=prefill, decode=decode, text=out)


def _times(*texts: str) -> tuple[Phase | None, Phase | None]:
    return _time(_PROMPT_TIME, texts), _time(_EVAL_TIME, texts)


def _time(pattern: re.Pattern[str], texts: Sequence[str]) -> Phase | None:
    for text in texts:
        matches = pattern.findall(text)
        if matches:
            took_ms, tokens = float(matches[-1][0]), int(matches[-1][1])
            return Phase.of(tokens, took_ms)
    return None


def _because(out: str, err: str) -> str:
    cause = failure_cause(out, err)
    return f": {cause}" if cause else ""


_READERS: Mapping[str, Callable[[str, str], Measurement]] = {
    "llama-bench": bench,
    "llama-perplexity": perplexity,
    "llama-completion": completion,
}

_MISMATCH = re.compile(r"RPC server version mismatch: (\S{1,80})")
_HANDSHAKE = re.compile(r"RPC handshake failed for (\S{1,200})")
_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), sentence)
    for pattern, sentence in (
        (r"Failed to connect to (\S{1,200})", r"it could not connect to the RPC worker at \1"),
        (_HANDSHAKE.pattern, r"what listens at \1 is no RPC worker of llama.cpp"),
        (
            r"Remote RPC server crashed or returned malformed response",
            "an RPC worker crashed, was killed or lost its connection in the middle",
        ),
        (
            r"Failed to create server socket",
            "it could not listen: the port is taken, or the address is not of this node",
        ),
        (r"^Failed to initialize backend", "it found no device to compute on"),
        (
            r"(?:invalid|unknown) device: (\S{1,80})",
            r"it found no device \1: no driver, another GPU index, or no right to its devices",
        ),
        (r"error loading model: (.{1,200})$", r"it could not load the model: \1"),
        (r"failed to load model '(.{1,200}?)'", r"it could not load the model \1"),
        (r"you need at least (\d{1,9}) tokens", r"the text is too short: it needs \1 tokens"),
        (
            r"unable to allocate (\S{1,80} buffer)",
            r"not enough memory: it could not allocate its \1",
        ),
        (r"std::bad_alloc", "not enough memory"),
        (r"(GGML_ASSERT\(.{1,200}\)) failed", r"it stopped at the assertion \1"),
        (r"^(?:\S{1,80}: )?error: (.{1,200})$", r"\1"),
    )
)


def failure_cause(out: str, err: str) -> str | None:
    """Why a program of llama.cpp failed, by its own words; None if it does not say."""
    for text in (err, out):
        if mismatch := _MISMATCH.search(text):
            return _other_protocol(mismatch[1], _HANDSHAKE.search(text, mismatch.end()))
    for pattern, sentence in _CAUSES:
        for text in (err, out):
            if match := pattern.search(text):
                return match.expand(sentence)
    return None


def _other_protocol(version: str, handshake: re.Match[str] | None) -> str:
    who = "an RPC worker" if handshake is None else f"the RPC worker at {handshake[1]}"
    return (
        f"{who} speaks protocol {version} and this program another: all nodes need the same "
        "version of llama.cpp"
    )


class _LlamaCpp(Parser):
    """Programs that measure by themselves, and `llama-server` asked for its tokens."""

    decodes_after_prompt = False  # llama-bench reads and generates in two separate tests

    def measurement(self, argv: Sequence[str], out: bytes, err: bytes) -> Measurement:
        """Read the output of whichever program it is."""
        if llama_server.is_asked(argv):
            return llama_server.measurement(out)
        return measurement(argv, out, err)

    def computed_on(self, role: Role, out: bytes, err: bytes) -> str | None:
        """Read the device of a worker, or where another program put the layers."""
        told, logged = (log.decode(errors="replace") for log in (out, err))
        if role == "worker":
            return llama_cpp_device.served(told, logged)
        return llama_cpp_device.computed_by(told, logged)

    def idle_workers(self, role: Role, out: bytes, err: bytes) -> frozenset[int]:  # noqa: ARG002 - the seam's signature
        """Read which workers got no layers."""
        return llama_cpp_device.idle(err.decode(errors="replace"))

    def complaint(self, process: Ended) -> str | None:
        """Find its error; a worker whose port is taken says so and ends with status 0."""
        if process.role == "worker":
            return last_words(process.err) or failure_cause(process.out, process.err)
        if not process.badly:
            return None  # the text that it generates may say anything
        return last_words(process.err) or failure_cause("", process.err)

    def reads_client(self, argv: Sequence[str]) -> bool:
        """Whether the client asked `/completion` of `llama-server`."""
        return llama_server.is_asked(argv)


PARSER = _LlamaCpp()
