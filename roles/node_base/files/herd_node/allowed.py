"""Which programs may be started, with which arguments and variables.

A judgement only: `privileges` asks for it before it starts anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from herd_node.ground import RefusalError
from herd_node.places import CLIENT, ENGINES, MODELS, PROBE

PROGRAM = re.compile(re.escape(ENGINES) + r"/([a-z0-9][a-z0-9.-]*)/bin/[A-Za-z0-9][A-Za-z0-9.-]*")
SWARMING = "petals"
"""The engine whose network daemon unpacks itself into memory that it then executes, and asks the
kernel for the node's addresses. Only SIGINT to its main process ends it cleanly."""
OPTION = re.compile("--[a-z][a-z0-9-]{0,60}")
MOST_OPTIONS = 200
PORT_OPTION = re.compile("--(?:[a-z0-9-]+-)?(?:port|listen)")
"""Options whose value is a port, or an address with one: `--port`, `--listen`, `--data-port`."""
MODEL_PATH = re.compile(re.escape(MODELS) + r"(?:/[^/.][^/]*){1,2}")
CLIENT_URL = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}/[A-Za-z0-9/_.-]{0,100}")
NUMBER = re.compile(r"[0-9][0-9.e+]{0,14}")
PROBED = re.compile(
    r"node [0-9]{1,7} [0-9]{1,5}|links [0-9]{1,5}(?: [0-9]{1,3}(?:\.[0-9]{1,3}){3}){1,1000}"
    r"|listen [0-9]{1,3}(?:\.[0-9]{1,3}){3} (?P<port>[0-9]{1,5})"
)
"""What the program that measures may be given. It reads and writes no file that is named."""
ARGUMENT_BYTES = 131_071
"""The longest that the kernel takes (MAX_ARG_STRLEN)."""
ALL_ARGUMENTS_BYTES = 2_000_000
"""Of all together with their pointers: a little less than it takes (a quarter of 8 MiB stack)."""
VARIABLE = re.compile(r"GGML_NO_BACKTRACE=[01]")
"""What an engine may be given in its environment. Others choose code: PATH, LD_PRELOAD, GCONV_PATH,
GGML_BACKEND_PATH, PYTHONHOME, HOME …"""
GPU_VARIABLES = ("GGML_VK_VISIBLE_DEVICES={}", "CUDA_VISIBLE_DEVICES={}")
"""What names the GPU that a program uses, and may say nothing else than the request does. The
helper sets them itself, as that GPU is numbered in the unit."""


class Wish(NamedTuple):
    """Which GPU a unit is to use.

    Attributes:
        backend: the interface, one of `cards.BACKENDS`.
        number: of the node's GPUs for that interface.
    """

    backend: str
    number: int


class Words(NamedTuple):
    """What an engine's programs may be given, as its record on this node says.

    Of their other options some load libraries, fetch models or run commands, and every version of
    an engine may bring more of them.

    Attributes:
        options: those with a value.
        flags: those without one.
        texts: those whose value is a text, which may hold anything.
    """

    options: frozenset[str]
    flags: frozenset[str]
    texts: frozenset[str]


NO_WORDS = Words(frozenset(), frozenset(), frozenset())


def words_of(engine: str, record: object) -> Words:
    """What the record of an engine (`install.json`, `arguments`) lets its programs be given.

    Raises:
        RefusalError: it says nothing of it, or something else than names of options.
    """
    path = f"{ENGINES}/{engine}/install.json"
    again = "provision the engines of this node again"
    told = record.get("arguments") if isinstance(record, dict) else None
    lists = [told.get(name) if isinstance(told, dict) else None for name in Words._fields]
    found = [set(words) for words in lists if isinstance(words, list) and is_of_options(words)]
    if len(found) < len(lists):
        raise RefusalError(f"{path} does not say which options {engine} gets: {again}")
    if sum(map(len, found)) > len(set().union(*found)):
        raise RefusalError(f"{path} has an option of {engine} in two of its lists: {again}")
    return Words(*map(frozenset, found))


def is_of_options(words: list[object]) -> bool:
    """Whether a list has names of options, as engines write them, and nothing else."""
    if len(words) > MOST_OPTIONS:
        return False
    return all(isinstance(word, str) and OPTION.fullmatch(word) for word in words)


def engine_of(program: str) -> str:
    """Whose program it is; empty for the client, the probe, and what may not be started."""
    match = PROGRAM.fullmatch(program)
    return match[1] if match else ""


def require_built(engine: str, record: object, backend: str) -> None:
    """Refuse a GPU to an engine that was not built for it, as its record (`gpu`) says.

    One that names no build says what could not be installed.
    """
    told = record if isinstance(record, dict) else {}
    if told.get("gpu") != backend or not told.get("build"):
        path = f"{ENGINES}/{engine}/install.json"
        raise RefusalError(f"{path} does not say that {engine} was built for {backend}")


def is_of_gpu(assignment: str, gpu: Wish | None) -> bool:
    """Whether a variable repeats what the request says about its GPU."""
    if gpu is None:
        return False
    named = [pattern.format(gpu.number) for pattern in GPU_VARIABLES]
    return assignment in (*named, "CUDA_DEVICE_ORDER=PCI_BUS_ID")


def check(
    argv: list[str], environment: list[str], gpu: Wish | None, told: Callable[[str], Words]
) -> Words:
    """Refuse everything but engines, the client and the probe, as the toolkit would start them.

    Args:
        argv: program and arguments.
        environment: assignments.
        gpu: which one it is to use.
        told: reads what an engine may be given.

    Returns:
        What the program may be given; nothing of the client and the probe, which get no options.
    """
    program, *arguments = argv or [""]
    engine = engine_of(program)
    if not engine and program not in (CLIENT, PROBE):
        raise RefusalError(f"its program {program[:200]!r} is not below {ENGINES}")
    if not os.access(program, os.X_OK):
        raise RefusalError(f"its program {program} is not there: provision the node")
    for assignment in environment:
        if not VARIABLE.fullmatch(assignment) and not is_of_gpu(assignment, gpu):
            raise RefusalError(f"{assignment[:200]!r} is no variable for an engine")
    check_words(arguments)
    if program == PROBE:
        probed(arguments)
        return NO_WORDS
    if not engine:
        check_questions(arguments)
        return NO_WORDS
    words = told(engine)
    check_options(engine, words, arguments)
    return words


def check_words(arguments: list[str]) -> None:
    """Refuse arguments that the kernel does not take, or that systemd would change."""
    for word in arguments:
        if len(word.encode()) > ARGUMENT_BYTES:
            raise RefusalError(f"an argument has more than {ARGUMENT_BYTES} bytes: {word[:60]!r} …")
        if "$" in word.replace("$$", ""):  # systemd would put a variable in its place
            raise RefusalError(f"a single $ in its argument {word[:200]!r}")
    whole = sum(len(word.encode()) + 9 for word in arguments)
    if whole > ALL_ARGUMENTS_BYTES:
        raise RefusalError(
            f"its arguments have {whole} bytes, and {ALL_ARGUMENTS_BYTES} can be given"
        )


def check_options(engine: str, words: Words, arguments: list[str]) -> None:
    """Refuse options that the toolkit does not give, and every path that is not a model's."""
    for option, value in paired(words, arguments):
        if option and option not in words.options | words.flags | words.texts:
            raise RefusalError(f"{option[:200]!r} is no option that {engine} gets")
        if option not in words.texts and "/" in value and not MODEL_PATH.fullmatch(value):
            raise RefusalError(f"its argument {value[:200]!r} is not below {MODELS}")


def paired(words: Words, arguments: list[str]) -> list[tuple[str, str]]:
    """Each option with its value, as engines read them; "" for none.

    Engines read the argument after an option as its value. A `--prompt` that is the value of
    another option is therefore no option, and the argument after it is no text.

    Raises:
        RefusalError: an option has the place of a value.
    """
    pairs = []
    option = ""  # whose value is next
    for word in arguments:
        if option in words.texts or not re.match("-(?![0-9])", word):
            pairs.append((option, word))
            option = ""
        elif option:
            raise RefusalError(f"{word[:200]!r} is no value for {option[:200]!r}")
        elif word in words.flags:
            pairs.append((word, ""))
        else:
            option = word
    return [*pairs, (option, "")]


def check_questions(arguments: list[str]) -> None:
    """Refuse all but questions to a server on this node; none at all is the client's affair."""
    if not arguments:
        return
    url, silence_s, *questions = [*arguments, ""]
    if not CLIENT_URL.fullmatch(url) or not NUMBER.fullmatch(silence_s):
        raise RefusalError(f"the client asks http://127.0.0.1:… alone, not {url[:200]!r}")
    for question in filter(None, questions):
        if not question.startswith("{"):
            raise RefusalError(f"{question[:200]!r} is no question for the client")


def probed(arguments: list[str]) -> int | None:
    """The port on which the probe is to listen; None if it is to do something else.

    Raises:
        RefusalError: it is to do what it cannot.
    """
    given = PROBED.fullmatch(" ".join(arguments))
    if not given or any(" " in word for word in arguments):
        raise RefusalError(f"{' '.join(arguments)[:200]!r} is nothing that the probe measures")
    return port_of(given["port"]) if given["port"] else None


def ports_in(words: Words, arguments: list[str]) -> list[int]:
    """The ports that an engine is given.

    Raises:
        RefusalError: it is to listen on a port that is not named.
    """
    given = paired(words, arguments)
    ports = [port_of(value) for option, value in given if PORT_OPTION.fullmatch(option)]
    if not ports and any(option == "--host" for option, _ in given):
        raise RefusalError("an engine with --host needs --port")
    return ports


def port_of(place: str) -> int:
    """The port of `ADDRESS:PORT` or `PORT`."""
    port = place.rpartition(":")[2]
    if not re.fullmatch("[0-9]{1,5}", port):
        raise RefusalError(f"its argument {place[:200]!r} names no port")
    return int(port)
