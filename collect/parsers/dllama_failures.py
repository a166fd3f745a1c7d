"""What a distributed-llama process says when it fails, as one plain sentence.

Messages: upstream's `src/nn/nn-network.cpp`, `src/llm.cpp`, `src/app.cpp` at v0.16.4 and the
uncaught exceptions of older versions.
"""

from __future__ import annotations

import re

from collect.parsers import aborted

# Every run in a pattern is bounded: a log may hold a word of a megabyte.
_CONNECT = re.compile(r"^Cannot connect to (\S{1,300}) \((.{1,100})\)", re.MULTILINE)
_RESOLVE = re.compile(r"^Cannot resolve target (\S{1,300}) \((.{1,100})\)", re.MULTILINE)
_ALARM = re.compile(
    r"^🚨 (Critical|Execution|Inference|Network|Connection) error: (.{1,300})", re.MULTILINE
)
_CONNECTING = re.compile(r"^⭕ [Ss]ocket\[\d{1,9}\]: connecting to (\S{1,300})", re.MULTILINE)
_INVALID = re.compile(r"^Invalid worker address: .{1,200}", re.MULTILINE)
_LAST_RECORD = re.compile(r"^(?:🔶|🔷)", re.MULTILINE)

_HEAD = ("💡", "📄", "📀", "⭕", "🧠", "🌋")
_HOLLOW = ("Execution failed in one of the threads", "Cannot connect", "Cannot resolve address")
"""Alarms that only repeat that something else went wrong."""

_MEANINGS: tuple[tuple[str, str], ...] = (
    ("posix_memalign failed", "not enough memory"),
    ("Mmap failed", "not enough memory or address space for the model file"),
    ("Socket closed", "the other side closed the connection"),
    ("Connection reset by peer", "a node went away"),
    ("Broken pipe", "a node went away"),
    ("Error reading from socket", "a node went away"),
    ("Error writing to socket", "a node went away"),
    ("Address already in use", "another program has the worker's port"),
    ("Cannot assign requested address", "the address to listen on is not of this node"),
    ("Invalid bind host", "the address to listen on must be an IPv4 address"),
    ("Invalid worker address", "a worker needs an address and a port"),
    ("more nodes than the number of KV heads", "use fewer nodes or a model with more KV heads"),
    ("supports only Q40 weights with Q80 sync type", "this needs --buffer-float-type q80"),
    ("This configuration supports max", "more threads than cores were asked for"),
    ("Unsupported magic number", "the file is no model of distributed-llama"),
    ("Cannot read header values", "the model file is cut off"),
    ("Unsupported header key", "the model file is newer than the engine"),
    ("Invalid tokenizer header key", "the tokenizer file is newer than the engine"),
    ("Old model format is not supported", "the model file is older than the engine"),
    ("ReadSocketException", "the other side closed the connection"),
    ("WriteSocketException", "the other side closed the connection"),
    ("Unsupported CPU op code", "weights and buffer type do not go together"),
    ("% nNodes == 0", "the model cannot be divided by that number of nodes"),
    ("ErrorOutOfDeviceMemory", "not enough memory of the GPU is free"),
    ("ErrorOutOfHostMemory", "not enough memory for the GPU's driver"),
    ("ErrorIncompatibleDriver", "Vulkan found no driver"),
    ("ErrorInitializationFailed", "the GPU's driver could not start"),
    ("ErrorTooManyObjects", "the GPU's driver allows fewer buffers than the model has"),
    ("ErrorDeviceLost", "the GPU stopped answering"),
    ("ErrorFeatureNotPresent", "the GPU lacks what the shaders need"),
    ("Device extension VK_", "the GPU lacks what the shaders need"),
    ("Invalid GPU index", "the node has no such GPU, or its unit does not see it"),
    ("Failed to open shader file", "the shaders are not where the program was started"),
    ("Unsupported shader", "there is no shader for these weights"),
    ("Q40_BLOCK_SIZE * tileSizeX", "its shaders cannot compute slices of that width"),
    ("does not support GPU", "the program was built without Vulkan"),
)
_MISSING_BYTES = re.compile(r"Missing bytes in weight file: (-?\d{1,18})")


def failure_cause(out: str, err: str) -> str | None:
    """Why a root or worker failed, by its own words; None if it does not say.

    Args:
        out: its standard output, or the end of it.
        err: its standard error.
    """
    if stopped := aborted.assertion(err):
        return _with_meaning(*stopped)
    if cause := _own_words(out):
        return cause
    if ended := aborted.exception(err):
        return _with_meaning(*ended)
    return None


def stage(out: str) -> str | None:
    """Where a root was when its output ends without a word, one clause; None if unknown."""
    lines = [line for line in out.splitlines() if line.strip()]
    if not lines:
        return "before its first line of output"
    if _LAST_RECORD.search(out) or any(line.startswith("💿 Weights loaded") for line in lines):
        return "after it had loaded the weights"
    if connecting := _CONNECTING.fullmatch(lines[-1].removesuffix(" worker")):
        return (
            f"while it was connecting to {connecting[1]}: what listens there "
            "may not be a worker, or one that serves another root"
        )
    if lines[-1].startswith("💿 Load"):
        return "while it was loading the weights: the model file may be cut off, or a node is gone"
    told = any(line.startswith(_HEAD) for line in lines)
    return "before it had loaded the weights" if told else None


def _own_words(out: str) -> str | None:
    if connect := _CONNECT.search(out):
        return f"it could not connect to the worker at {connect[1]} ({connect[2]})"
    if resolve := _RESOLVE.search(out):
        return f"it could not find the address of the worker {resolve[1]} ({resolve[2]})"
    # Generated text may hold anything, so only what follows the last record counts.
    begin = max((match.start() for match in _LAST_RECORD.finditer(out)), default=0)
    alarms = [match[2].strip() for match in _ALARM.finditer(out, begin)]
    telling = [alarm for alarm in alarms if not alarm.startswith(_HOLLOW)] or alarms
    if telling:
        return _with_meaning(telling[0], telling[0])
    invalid = _INVALID.search(out)
    return _with_meaning(invalid[0], invalid[0]) if invalid else None


def _with_meaning(said: str, words: str) -> str:
    if missing := _MISSING_BYTES.search(words):
        bytes_ = int(missing[1])
        return (
            f"the model file is {bytes_} bytes too short"
            if bytes_ > 0
            else f"the model file is {-bytes_} bytes too long"
        )
    for part, meaning in _MEANINGS:
        if part in words:
            return f"{said} ({meaning})"
    return said
