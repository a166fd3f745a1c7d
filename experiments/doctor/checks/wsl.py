"""Linux inside Windows: whose driver it has, and whether other nodes can reach it.

Rules from Microsoft's pages on WSL networking and NVIDIA's CUDA on WSL user guide.
"""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.checks.ports import is_engine_port
from experiments.doctor.facts import Facts, Wsl
from experiments.doctor.finding import Answer, Finding, ok, problem, warning

SUBJECT = "wsl"
LOCAL = ("127.0.0.1", "localhost", "::1")
MIRRORED = (
    "With Windows 11 22H2 or newer write [wsl2] and networkingMode=mirrored into "
    "%UserProfile%\\.wslconfig and run wsl --shutdown; otherwise let Windows forward the engines' "
    "ports (netsh interface portproxy) and set `herd_forwarded_from` of this node."
)


def check(answer: Answer, facts: Facts) -> Iterator[Finding]:
    """Nothing at all outside WSL."""
    if facts.wsl is None:
        return
    mode = facts.wsl.networking or _guess(answer, facts)
    yield ok(
        SUBJECT,
        f"WSL {facts.wsl.version or 'of unknown version'}, networking {mode}"
        f"{'' if facts.wsl.networking else ' (as its addresses suggest)'}.",
    )
    yield from _driver(facts, facts.wsl)
    if mode != "mirrored" and answer.is_root:
        yield _hidden_root(facts.wsl, mode)
    elif mode != "mirrored":
        yield _hidden(facts, facts.wsl, mode)


def _guess(answer: Answer, facts: Facts) -> str:
    """With mirrored networking the guest has Windows' own addresses."""
    return "mirrored" if answer.engine_address in facts.network.addresses else "nat"


def _driver(facts: Facts, wsl: Wsl) -> Iterator[Finding]:
    packages = facts.gpu.driver_packages
    if packages or wsl.linux_libcuda:
        what = ", ".join(packages or wsl.linux_libcuda)
        yield problem(
            SUBJECT,
            f"A Linux driver is installed inside WSL ({what}): it hides the one that Windows lends "
            "in /usr/lib/wsl/lib, and CUDA fails.",
            (
                f"sudo apt purge {' '.join(packages)}"
                if packages
                else "Uninstall it (of a .run file: sudo nvidia-uninstall)"
            )
            + ", then in PowerShell: wsl --shutdown. Inside WSL only cuda-toolkit-<x>-<y> is "
            "right.",
        )


def _hidden_root(wsl: Wsl, mode: str) -> Finding:
    """The root connects to the others and waits for nobody, but for the API's questions at home."""
    forwards = [forward for forward in wsl.forwards or () if is_engine_port(forward.port)]
    ports = ", ".join(str(forward.port) for forward in forwards)
    return ok(
        SUBJECT,
        f"WSL's networking is {mode}: other nodes reach "
        f"{f'only the ports that Windows forwards ({ports})' if ports else 'no engine here'}. "
        "For the root that is enough, it connects to the others; Petals alone needs more.",
    )


def _hidden(facts: Facts, wsl: Wsl, mode: str) -> Finding:
    """What Windows' address translation does to an engine that other nodes shall reach."""
    forwards = [forward for forward in wsl.forwards or () if is_engine_port(forward.port)]
    ports = ", ".join(str(forward.port) for forward in forwards)
    there = {*facts.network.addresses, *LOCAL}
    if not forwards:
        unsure = (
            " (Windows could not be asked for its port proxies)" if wsl.forwards is None else ""
        )
        return problem(
            SUBJECT,
            f"WSL's networking is {mode}: it hides this node, and no engine port is forwarded to "
            f"it{unsure}.",
            MIRRORED,
        )
    if any(forward.to_address not in there for forward in forwards):
        return problem(
            SUBJECT,
            f"WSL's networking is {mode}, and Windows forwards {ports} to an address that WSL no "
            "longer has.",
            MIRRORED,
        )
    return warning(
        SUBJECT,
        f"WSL's networking is {mode}: other nodes reach only the ports that Windows forwards "
        f"({ports}), until WSL starts with another address.",
        MIRRORED,
    )
