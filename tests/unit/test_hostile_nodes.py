"""A node that is broken, or was taken over: named, bounded in time and memory, no traceback."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import HerdError
from experiments.doctor.ask import CutShortError, run_probe
from experiments.doctor.checks.advice import Advice
from experiments.doctor.diagnose import diagnose
from experiments.doctor.facts import Facts, NvidiaGpu, Python, Toolkit
from experiments.doctor.finding import Finding, NodeAnswer
from experiments.doctor.probe.main import MARK
from experiments.engines import ENGINES
from experiments.fleet.cluster import Node
from experiments.links.shape import round_trip_ms
from experiments.nodes.facts import ask_facts
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Conversation, NodeLostError, Reply, Request
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.launcher import SshConversation
from experiments.nodes.ssh.readings import node_reading, unit_state
from experiments.nodes.ssh.wire import (
    LOG_BYTES,
    MOST_PARTS,
    SMALL_BYTES,
    ReplyError,
    ReplyReader,
    reply_of,
)
from experiments.nodes.told import LONGEST_WORDS
from experiments.trials.meter import energy_between
from tests.doubles.doctor_facts import PC
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import world

NODE = Node("pi1", "10.0.0.1", "10.0.0.1")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, -1, 2**53 + 1, "x" * (LONGEST_WORDS + 1)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def reader(*verbs: str) -> ReplyReader:
    made = ReplyReader()
    for verb in verbs:
        made.expect(verb)
    return made


# -- the protocol


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"part x -11\n", "part x -11"),
        (b"part x -1\n", "part x -1"),
        (b"part x +1\n", r"part x \+1"),
        (b"part x 1_0\n", "part x 1_0"),
        (b"part x 0x10\n", "part x 0x10"),
        (b"part x 1e3\n", "part x 1e3"),
        ("part x ٣\n".encode(), "part x"),
        (b"part x \n", "part x"),
        (b"part  1\n", "part"),
        (b"part x 1 2\n", "part x 1 2"),
        (b"part ../../x 1\n", "part"),
        (b"part .x 1\n", "part .x 1"),
        (b"part x\x1b[2J 1\n", r"part x\\x1b\[2J 1"),
        (b"part x 99999999999999999999999\n", "part x 9999"),
        (f"part x {SMALL_BYTES + 1}\n".encode(), "x of .* bytes, but at most .* in total"),
        (b"part x 1\naparta x 1\n", "parta x 1"),
        (b"part x 1\napart x 1\nb", "x twice"),
        (b"".join(b"part x%d 0\n" % n for n in range(MOST_PARTS + 1)), "more than 4096 parts"),
        (b"end ok stop\n", "a reply to stop, which was not requested"),
        (b"end ok\n", "end ok"),
        (b"end maybe facts\n", "end maybe facts"),
        (b"end ok facts\nend ok facts\n", "a reply to facts, which was not requested"),
        (b"\n", "^$"),
        (b"x" * 400, "xxxx"),
        (b"\xff\xfe\n", "\ufffd"),
    ],
)
def test_what_is_no_reply_ends_the_conversation(said: bytes, told: str) -> None:
    hearing = reader("facts")

    def heard() -> None:
        rest = said
        while hearing.feed(rest) is not None:
            rest = b""

    with pytest.raises(ReplyError, match=told):
        heard()


@pytest.mark.parametrize(("verb", "most_bytes"), [("facts", SMALL_BYTES), ("stop", LOG_BYTES)])
def test_a_reply_takes_no_more_memory_than_its_request_allows(verb: str, most_bytes: int) -> None:
    hearing = reader(verb)
    hearing.feed(b"part a 1000\n" + b"x" * 1000)
    with pytest.raises(ReplyError, match="in total"):
        hearing.feed(f"part b {most_bytes - 900}\n".encode())

    assert reader(verb).feed(f"part a {most_bytes - 900}\n".encode()) is None


def test_a_size_alone_takes_no_memory() -> None:
    hearing = reader("stop")
    tracemalloc.start()
    try:
        hearing.feed(f"part out {LOG_BYTES - 100}\n".encode())
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"part ", b"end ", b"ok ", b"error ", b"facts", b"out ", b"\n", b" ", b"7"]
        )
        | st.binary(max_size=12),
        max_size=30,
    )
)
def test_any_bytes_are_a_reply_or_are_refused(pieces: list[bytes]) -> None:
    hearing = reader("facts", "run")
    replies = 0
    try:
        for piece in pieces:
            reply = hearing.feed(piece)
            while reply is not None:
                replies += 1
                reply = hearing.feed(b"")
    except ReplyError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it need not be raised
    assert replies <= 2


class Sending:
    """A channel whose node keeps sending."""

    def __init__(self, first: bytes, after: bytes) -> None:
        self._pieces = [first]
        self._after = after
        self.sent = b""

    def settimeout(self, seconds: float) -> None:
        """It answers at once."""

    def send(self, data: bytes) -> int:
        """Take one byte."""
        time.sleep(0.01)
        self.sent += data[:1]
        return 1

    def recv(self, _most: int) -> bytes:
        """What comes next."""
        time.sleep(0.01)
        return self._pieces.pop() if self._pieces else self._after

    def last_said(self) -> str:
        """Nothing."""
        return ""

    def status(self) -> None:
        """It goes on."""

    def shutdown_write(self) -> None:
        """It does not care."""

    def close(self) -> None:
        """It does not care."""


def linked(first: bytes, after: bytes = b"x") -> SshConversation:
    link = SshConversation(NODE, Sending(first, after))  # type: ignore[arg-type]
    link.send(Request("run"))
    return link


def test_a_poll_ends_when_it_says_whatever_the_node_sends() -> None:
    link = linked(b"part out 99999999\n")
    begun = time.monotonic()

    assert link.poll(0.3) is None
    assert link.poll(0.0) is None
    assert 0.3 <= time.monotonic() - begun < 1.0


def test_a_goodbye_ends_when_it_says_whatever_the_node_sends() -> None:
    link = linked(b"")
    begun = time.monotonic()

    link.close(0.3)

    assert time.monotonic() - begun < 1.0


def test_a_node_that_takes_requests_a_byte_at_a_time_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.nodes.ssh.launcher.CONNECT_S", 0.2)
    link = linked(b"")

    class Late(Sending):
        def settimeout(self, seconds: float) -> None:
            if not seconds:
                raise TimeoutError

    link._channel = Late(b"", b"")  # type: ignore[assignment]
    with pytest.raises(NodeLostError, match="pi1"):
        link.send(Request("run", (("arg", "x" * 1000),)))


def test_what_is_no_reply_names_the_node() -> None:
    with pytest.raises(NodeLostError, match="unexpected output from the helper on pi1: part x -11"):
        linked(b"part x -11\n").poll(1.0)


# -- facts, stamps, manifests


class Telling(ScriptedLauncher):
    """Nodes whose facts are other ones."""

    def __init__(self, world: World, parts: Mapping[str, bytes | None]) -> None:
        super().__init__(world)
        self._parts = parts

    def open(self, node: Node) -> ScriptedConversation:
        """A link to such a node."""
        link = super().open(node)
        whole = link._facts

        def facts(fields: dict[str, str], request: Request) -> Reply:
            reply = whole(fields, request)
            told = {**reply.parts, **self._parts}
            return reply_of(
                reply.verb, ok=True, parts={k: v for k, v in told.items() if v is not None}
            )

        link._facts = facts  # type: ignore[method-assign]
        return link


@pytest.fixture(scope="module")
def the_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Nodes on paper."""
    return world(tmp_path_factory.mktemp("world"))


def refusal(the_world: World, **parts: bytes | None) -> str:
    named = {name.replace("__", "."): content for name, content in parts.items()}
    with pytest.raises(HerdError) as caught:
        ask_facts(cluster(1), Telling(the_world, named))
    told = str(caught.value)
    assert "pi1" in told
    assert len(told) < 1000
    return told


def sheet(**changed: object) -> bytes:
    return json.dumps({"cores": 4, "memory_mib": 4096, "available_mib": 1, **changed}).encode()


@pytest.mark.parametrize(
    "facts",
    [
        None,
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        sheet(cores=0),
        sheet(cores=-1),
        sheet(cores=1.5),
        sheet(cores=True),
        sheet(cores="4"),
        sheet(cores=None),
        sheet(memory_mib=10**400),
        sheet(available_mib=-1),
        sheet(more=[1]),
        sheet(more={"a": 1}),
        sheet(more=10**400),
        sheet(more=2**53 + 1),
        sheet(more=float("nan")),
        sheet(more=float("inf")),
        sheet(more="x" * (LONGEST_WORDS + 1)),
        sheet(**{f"f{n}": n for n in range(600)}),
        sheet(**{"distributed-llama dllama sha256": "0"}),
        sheet(**{"\x1b[2J": 1}),
        b'{"cores": 4, "memory_mib": ' + b"9" * 5000 + b"}",
        b'{"cores": 1e400, "memory_mib": 1}',
    ],
)
def test_facts_that_cannot_be_are_refused(the_world: World, facts: bytes | None) -> None:
    assert "its facts on pi1" in refusal(the_world, facts=facts)


def test_a_node_does_not_say_under_which_address_it_is_reached(the_world: World) -> None:
    told = ask_facts(cluster(1), Telling(the_world, {"facts": sheet(address="10.6.6.6")}))

    assert told.root.facts["address"] == told.root.engine_address


@pytest.mark.parametrize(
    "stamp",
    [
        b"5",
        b"[]",
        b"[" * 100_000,
        b'{"installed": "perhaps"}',
        b'{"installed": true, "binary_sha256": 5}',
        b'{"binary_sha256": {"a": [1]}}',
        b'{"binary_sha256": {"../a": "' + b"0" * 64 + b'"}}',
        b'{"binary_sha256": {"a": "' + b"0" * 63 + b'"}}',
        b'{"version": {"a": 1}}',
        b'{"version": "' + b"x" * 5000 + b'"}',
        b'{"reason": [1]}',
        b'{"arguments": ["--port"]}',
        b'{"gpu": "opencl"}',
        b'{"gpu": ["vulkan"]}',
        b'{"gpu": true}',
        b'{"arguments": {"options": [{}]}}',
    ],
)
def test_a_stamp_of_an_engine_that_cannot_be_is_refused(the_world: World, stamp: bytes) -> None:
    told = refusal(the_world, install__petals=stamp)

    assert "/petals/install.json on pi1: it is damaged" in told


def test_what_else_a_stamp_holds_is_kept_as_far_as_it_is_of_one_value(the_world: World) -> None:
    stamp = {"installed": True, "version": 3, "method": "cuda", "packages": {"a": 1}, "big": 10**99}
    parts = {"install.petals": json.dumps(stamp).encode()}

    found = ask_facts(cluster(1), Telling(the_world, parts)).root.engines["petals"]

    assert found.version == "3"
    assert found.details == {"method": "cuda"}


@pytest.mark.parametrize("name", ["install.", "install.../../x", "manifest.", "manifest..x"])
def test_a_part_that_names_no_engine_and_no_model_is_refused(the_world: World, name: str) -> None:
    told = refusal(the_world, **{name: b"{}"})

    assert "names nothing" in told


@pytest.mark.parametrize(
    ("manifest", "files"),
    [
        (b"5", b""),
        (b'{"files": [1]}', b""),
        (b'{"files": {"a": 1}}', b""),
        (b'{"files": {"../a": {"sha256": "%s", "size_bytes": 1, "mtime_ns": 1}}}', b""),
        (b'{"files": {"a": {"sha256": 5, "size_bytes": "a", "mtime_ns": null}}}', b""),
        (b'{"files": {"a": {"sha256": "%s", "size_bytes": -1, "mtime_ns": 1}}}', b""),
        (b'{"files": {"a": {"sha256": "%s", "size_bytes": 1, "mtime_ns": 1e400}}}', b""),
        (b"{}", b"1 2\n"),
        (b"{}", b"a b c d\n"),
        (b"{}", b"1 2 /m/a\nb\n"),
        (b"{}", b"9" * 5000),
        (b"{}", b"-1 2 /m/a\n"),
        (b"{}", "٣ 2 /m/a\n".encode()),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(
    the_world: World, manifest: bytes, files: bytes
) -> None:
    manifest = manifest.replace(b"%s", b"0" * 64)

    told = refusal(the_world, manifest__m=manifest, files__m=files)

    assert "/m" in told
    assert "on pi1: it is damaged" in told


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("facts", "helper", "energy", "install.x", "install.distributed-llama"),
                *("manifest.x", "files.x", "install.", "manifest."),
            ]
        ),
        JSON.map(lambda value: json.dumps(value).encode())
        | st.fixed_dictionaries({"files": JSON}).map(lambda value: json.dumps(value).encode())
        | st.dictionaries(
            st.sampled_from(["installed", "binary_sha256", "version", "cores", "memory_mib"]), JSON
        ).map(lambda value: json.dumps(value).encode())
        | st.binary(max_size=60),
        min_size=1,
    )
)
def test_any_facts_are_taken_or_refused_with_the_nodes_name(
    the_world: World, parts: dict[str, bytes]
) -> None:
    told = "pi1"
    try:
        ask_facts(cluster(1), Telling(the_world, parts))
    except HerdError as error:
        told = str(error)
    assert "pi1" in told


# -- readings, energy, rates, the doctor


WILD = ["", "x", "-1", "nan", "inf", "1e999", "9" * 5000, "٣", "²", "1_0", "0x", "0x" + "f" * 99]


@pytest.mark.parametrize("text", WILD)
def test_readings_are_numbers_or_nothing(text: str) -> None:
    names = ("clock_s", "uptime_s", "throttled", "temperature_mc", "frequency_khz", "swap_pages")
    told = node_reading(dict.fromkeys((*names, "throttled_meanwhile", "link_mbit"), text))
    assert told.clock_s in (None, -1.0)
    assert told.temperature_c in (None, -0.001)
    assert told.swap_pages is told.link_mbit is told.frequency_mhz is None
    assert told.throttled in (None, 0x1E999)

    shown = ("ExecMainStatus", "CPUUsageNSec", "MemoryPeak", "IPIngressBytes", "Result")
    moments = ("ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic")
    state = unit_state(dict.fromkeys((*shown, *moments, "ExecMainStartTimestamp"), text))
    assert state.runtime_s is None
    assert state.cpu_s is None


def test_a_process_that_ended_before_it_began_has_no_lifetime() -> None:
    told = {"ExecMainStartTimestampMonotonic": "5000", "ExecMainExitTimestampMonotonic": "4000"}

    assert unit_state(told).runtime_s is None


@pytest.mark.parametrize("text", [*WILD, "0.5"])
def test_energy_that_cannot_be_is_no_energy(text: str) -> None:
    before = {"at_s": "1", "RAPL package-0": "1"}
    with pytest.raises(ValueError, match="RAPL package-0 was"):
        energy_between(before, {"at_s": "2", "RAPL package-0": text})
    with pytest.raises(ValueError, match="at_s was"):
        energy_between(before, {"at_s": text, "RAPL package-0": "2"})


def test_energy_without_its_moment_is_no_energy() -> None:
    with pytest.raises(ValueError, match="1 counters"):
        energy_between({"a": "1"}, {"a": "2"})


@pytest.mark.parametrize(
    "tail",
    [
        "🔶 Pred " + "9" * 5000 + " ms Sync 1 ms\n",
        "🔶 Pred ٣ ms Sync 1 ms\n",
        '{"phase": "prediction"}\n',
        '{"phase": "prediction", "total_ms": "x"}\n',
        '{"phase": "prediction", "total_ms": [1]}\n',
        '{"phase": "prediction", "total_ms": NaN}\n',
        '{"phase": "prediction", "total_ms": -5}\n',
        '{"phase": "prediction", "total_ms": 1e999}\n',
        "[" * 100_000 + "\n",
        "9" * 5000 + "\n",
    ],
)
def test_a_rate_that_cannot_be_is_not_shown(tail: str) -> None:
    assert [engine.live_rate(tail) for engine in ENGINES.values()] == [None] * len(ENGINES)


class Pipe:
    """What a probe says."""

    def __init__(self, *lines: str, endless: bytes = b"") -> None:
        self._lines = [f"{MARK} ready\n".encode(), *(f"{MARK} {line}\n".encode() for line in lines)]
        self._endless = endless

    def sendall(self, data: bytes, /) -> None:
        """It hears nothing."""

    def settimeout(self, seconds: float, /) -> None:
        """It says all at once."""

    def recv(self, _most: int, /) -> bytes:
        """What comes next."""
        return self._lines.pop(0) if self._lines else self._endless


@pytest.mark.parametrize("clock", ["abc", "nan", "1e999", "9" * 5000, "", "٣", "0x1"])
def test_a_clock_that_tells_no_time_is_told(clock: str) -> None:
    with pytest.raises(CutShortError, match="its clock reads"):
        run_probe(Pipe(clock), b"", 1.0)


@pytest.mark.parametrize(
    "facts",
    [
        "{}",
        "[" * 100_000,
        '{"base": {"architecture": "x", "kernel": "y", "cores": ' + "9" * 400 + "}}",
        '{"base": {"architecture": "x", "kernel": "y", "memory_mib": -5}}',
        '{"base": {"architecture": "x", "kernel": "y", "memory_mib": NaN}}',
        '{"base": {"architecture": "' + "x" * 5000 + '", "kernel": "y"}}',
    ],
)
def test_facts_for_the_doctor_that_cannot_be_are_told(facts: str) -> None:
    with pytest.raises(CutShortError, match="it sent an unexpected answer") as caught:
        run_probe(Pipe(*["1.0"] * 5, facts), b"", 1.0)
    assert len(str(caught.value)) < 400


def saying_everywhere(facts: Facts, text: str) -> Facts:
    """The facts with another text wherever a node chooses one."""
    gpu = NvidiaGpu(name=text, driver=text, compute_capability=text)
    python = Python(
        path=text,
        kind="venv",
        torch=text,
        torch_cuda=text,
        bitsandbytes=text,
        bitsandbytes_cuda=(text, ""),
        petals=text,
    )
    return facts.model_copy(
        update={
            "base": facts.base.model_copy(update={"os": text, "kernel": text, "nic": text}),
            "machine": facts.machine.model_copy(update={"python": text, "os_id": text}),
            "gpu": facts.gpu.model_copy(
                update={"gpus": (gpu,), "nvidia_smi": text, "driver_packages": (text,)}
            ),
            "cuda": facts.cuda.model_copy(
                update={"toolkits": (Toolkit(path=text, conda=False, compiler=True, version=text),)}
            ),
            "pythons": (python,),
            "network": facts.network.model_copy(update={"addresses": {text: text}}),
        }
    )


@pytest.mark.parametrize("text", [*WILD, "²²", "1.²", ".", "..", "12.", "a.b.c"])
def test_whatever_a_node_says_of_itself_the_doctor_judges_it(text: str) -> None:
    told = saying_everywhere(Facts.model_validate(PC), text[:LONGEST_WORDS])

    (diagnosis,) = diagnose([NodeAnswer("pi1", "10.0.0.1", "10.0.0.1", facts=told)])

    said = " ".join(finding.sentence for finding in diagnosis.findings)
    assert "Native Linux" in said
    assert "cannot be read" not in said


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(_facts: Facts, _advice: Advice) -> list[Finding]:
        raise OddError("so\nit is")

    monkeypatch.setattr("experiments.doctor.checks.cuda.check", failing)
    answer = NodeAnswer("pi1", "10.0.0.1", "10.0.0.1", facts=Facts.model_validate(PC))

    (diagnosis,) = diagnose([answer])

    (bad,) = [one for one in diagnosis.findings if "cannot be read" in one.sentence]
    assert bad.sentence == "Its answer cannot be read (OddError: so it is)."
    assert diagnosis.findings[-1] != bad


class OddError(Exception):
    """Nothing of ours."""


@pytest.mark.parametrize("told", ["abc", "", "9" * 5000, "nan", "-1", "٣", "1e999"])
def test_a_ping_that_tells_no_time_tells_none(told: str) -> None:
    assert round_trip_ms(f"rtt min/avg/max/mdev = {told}/1/1/1 ms") is None
    assert round_trip_ms("rtt min/avg/max/mdev = 0.031/1/1/1 ms") == 0.031


@pytest.mark.parametrize(
    ("endless", "seconds", "told"),
    [(b"x" * 65536, 20.0, "more than 4 MiB"), (b"noise\n", 0.3, "did not answer within")],
)
def test_a_probe_that_never_ends_is_ended(endless: bytes, seconds: float, told: str) -> None:
    with pytest.raises(CutShortError, match=told):
        run_probe(Pipe(*["1.0"] * 5, endless=endless), b"", seconds)


def test_a_late_reply_is_not_taken_for_the_one_to_what_is_asked_now(tmp_path: Path) -> None:
    """A root may end of itself while it is halted: the reply to that comes after its own."""
    herd = Herd(ScriptedLauncher(world(tmp_path)), cluster(2).nodes, Owner.me())
    herd.own_all()
    late = herd.conversation("pi2")
    assert isinstance(late, ScriptedConversation)
    late._pending.append(Reply("halt", ok=True))
    for verb in ("ping", "energy", "ping"):
        replies, silent = herd.ask_each({n: Request(verb) for n in ("pi1", "pi2")}, verb, 1.0)
        assert silent == {}
        assert {reply.verb for reply in replies.values()} == {verb}
    herd.close()


# -- lost nodes


class Slow(ScriptedLauncher):
    """Silent nodes take a moment to be given up, as a connection does."""

    def open(self, node: Node) -> ScriptedConversation:
        """A link, or the error after a moment."""
        try:
            return super().open(node)
        except NodeLostError:
            time.sleep(0.5)
            raise


def test_lost_nodes_are_tried_together_and_beside_the_others(tmp_path: Path) -> None:
    silent = {f"pi{n}" for n in range(2, 8)}
    the_world = world(tmp_path)
    herd = Herd(Slow(the_world), cluster(8).nodes, Owner.me())
    herd.own_all()
    the_world.silent |= silent
    for name in silent:
        herd.lose(name)

    begun = time.monotonic()
    herd.seek()
    herd.seek()
    assert time.monotonic() - begun < 0.3, "others do not wait"
    assert set(herd.regain()) == silent
    assert time.monotonic() - begun < 1.5, "one after the other it is three seconds"

    the_world.silent.clear()
    assert herd.regain() == {}
    assert herd.lost() == ()
    herd.close()


def test_a_node_found_after_the_herd_was_let_go_is_let_go_too(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    opened = threading.Event()

    class Late(ScriptedLauncher):
        def open(self, node: Node) -> Conversation:  # type: ignore[override]
            opened.wait(5)
            return super().open(node)

    herd = Herd(Late(the_world), cluster(1).nodes, Owner.me())
    herd.seek()
    herd.close()
    opened.set()
    herd.regain()

    assert herd.lost() == ("pi1",)
