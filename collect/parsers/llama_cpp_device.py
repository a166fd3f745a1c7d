"""The GPU that a program of llama.cpp computed on, by its own log.

A worker lists its devices: on standard error at 0.7.0, on standard output before. The others say on
standard error which devices they use and what they put there, if they are asked to log it. Neither
the result of `llama-bench` nor `offloaded N/M layers` alone is a proof: with `--device none` both
read as with a GPU.

Formats: upstream's `ggml-rpc.cpp`, `llama.cpp` and `llama-model.cpp` at 0.7.0 and 0.5.0-dev.
"""

from __future__ import annotations

import re

# Every run in a pattern is bounded: a log may hold a word of a megabyte.
_NAME = r"(?:Vulkan|CUDA)\d{1,2}"
_SERVED = re.compile(
    rf"^  {_NAME}: ([^\n]{{1,200}}) \(\d{{1,9}} MiB, \d{{1,9}} MiB free\)$", re.MULTILINE
)
_USED = re.compile(
    rf"using device {_NAME} \(([^\n]{{1,200}})\) \([^()\n]{{1,60}}\) - \d{{1,9}} MiB free"
)
_OFFLOADED = re.compile(r"offloaded (\d{1,5})/(\d{1,5}) layers to GPU")
_WEIGHTS = re.compile(rf": {{1,20}}{_NAME} model buffer size = {{1,20}}(\d{{1,9}}\.\d{{1,3}}) MiB")
_ASKED = re.compile(r'"n_gpu_layers": (\d{1,5}),')
_ADDRESS = r"([^\]\[()\s]{1,80})"
_WORKERS = re.compile(rf"llama_prepare_model_devices: using device RPC(\d{{1,3}}) \({_ADDRESS}\)")
# The number before an address counts devices of that worker alone.
_GIVEN = re.compile(
    rf"load_tensors: {{1,20}}RPC\d{{1,3}}\[{_ADDRESS}\] model buffer size = "
    r"{1,20}(\d{1,9}\.\d{1,3}) MiB"
)
_LIST = "\nDevices:\n"
SERVES = "listening on http://"
"""In the line that `llama-server` logs when its model is loaded; its port listens earlier. What
follows may hold words of a question, which may imitate any line."""


def served(*logs: str) -> str | None:
    """The GPU that a worker offers, by either of its streams; None if it offers its CPU."""
    for log in logs:
        if match := _SERVED.search(log.partition(_LIST)[2]):
            return match[1]
    return None


def computed_by(out: str, err: str) -> str | None:
    """The GPU on which a program put as many layers as it was asked to; None if there is none.

    Args:
        out: its standard output; that of `llama-bench` says how many were asked for.
        err: its standard error, with the level of log that names devices.
    """
    err = err.partition(SERVES)[0]
    device = _USED.search(err)
    counts = [(int(some), int(of)) for some, of in _OFFLOADED.findall(err)]
    sizes_mib = [float(size) for size in _WEIGHTS.findall(err)]
    if device is None or not counts or not sizes_mib or not sizes_mib[-1]:
        return None
    offloaded, most = counts[-1]
    asked = _ASKED.search(out)
    wanted = min(int(asked[1]), most) if asked else 1
    return device[1] if offloaded >= wanted else None


def idle(err: str) -> frozenset[int]:
    """Numbers of the workers that a program gave no layers; none where it cuts every layer.

    Args:
        err: its standard error, with the level of log that names devices.
    """
    err = err.partition(SERVES)[0]
    given = {address for address, size_mib in _GIVEN.findall(err) if float(size_mib)}
    workers = _WORKERS.findall(err)
    return frozenset(int(number) for number, address in workers if address not in given)
