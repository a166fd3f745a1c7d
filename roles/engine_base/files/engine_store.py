"""What is installed of the engines on this node, and putting a build in its place.

Sent to a node and run there by the roles, with nothing but the node's own Python:

    engine_store.py probe
    engine_store.py activate RECORD    RECORD is a JSON object, see `activate`
    engine_store.py refuse RECORD
    engine_store.py describe TRAITS    TRAITS is a JSON object, see `describe`

Layout of an engine's folder, /opt/llama-herd/engines/<engine>:

    builds/<build>/bin/…     programs of one build, and all that they need next to them
    environments/<name>/…    what a build depends on, if its record names an `environment` or
                             its own `python`
    bin -> builds/<build>/bin
    install.json             what is installed; written last
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import pty
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(os.environ.get("LLAMA_HERD_ENGINES", "/opt/llama-herd/engines"))
LIBRARIES = "libraries"
FOUNDATIONS = ("environment", "python")
"""What a record may name of the folders below `environments`."""
LARGE_BYTES = 256 << 20
"""Larger files next to the programs are checked by time and size, not read again."""
PROOF_SECONDS = 20.0
UNPRIVILEGED = "nobody"
HELPER = os.environ.get("LLAMA_HERD_HELPER", "/usr/local/libexec/llama-herd/herd-node")
PROOF_UNIT = "herd-proof"
UNTRIED = "it was being tried when its installation ended: provision the node again"
VULKAN = {
    "libvulkan1": ("/usr/lib/*/libvulkan.so.1", "/usr/lib/libvulkan.so.1"),
    "mesa-vulkan-drivers": ("/usr/share/vulkan/icd.d/*.json", "/etc/vulkan/icd.d/*.json"),
}
"""Debian packages of Vulkan's loader and of its drivers, and the files that make them needless."""
PROOF_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
"""The part of root's environment that a tried build gets: none."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hashes(build: Path, record: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each program of a build, of all files next to them, of what it depends on.

    Raises OSError where one of its links leads to something of the system that is gone.
    """
    for path in build.rglob("*"):
        if path.is_symlink() and path.readlink().is_absolute():
            path.stat()
    found = {path.name: sha256_of(path) for path in sorted((build / "bin").iterdir())}
    beside = [path for path in files_below(build) if path.parent != build / "bin"]
    if beside:
        found[LIBRARIES] = hash_of_files(build, beside)
    for part, folder in foundations(build.parents[1], record).items():
        found[part] = hash_of_files(folder, files_below(folder))
    return found


def foundations(engine_folder: Path, record: dict[str, Any]) -> dict[str, Path]:
    """Return the folders that a build depends on, by the part of its record that names them."""
    named = {part: record[part] for part in FOUNDATIONS if record.get(part)}
    return {part: engine_folder / "environments" / name for part, name in named.items()}


def files_below(folder: Path) -> list[Path]:
    """Its files, sorted, links left out."""
    found = sorted(folder.rglob("*"))
    return [path for path in found if path.is_file() and not path.is_symlink()]


def hash_of_files(folder: Path, paths: list[Path]) -> str:
    """One SHA-256 of some files of a folder.

    Of what is large, paths, sizes and times of change represent the content: reading it would take
    a Raspberry Pi a minute each time.
    """
    sizes = {path: path.stat() for path in paths}
    if sum(status.st_size for status in sizes.values()) > LARGE_BYTES:
        told = {path: f"{seen.st_size} {seen.st_mtime_ns}" for path, seen in sizes.items()}
    else:
        told = {path: sha256_of(path) for path in paths}
    lines = [f"{path.relative_to(folder)} {told[path]}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_install(engine: str) -> dict[str, Any] | None:
    """The record of an engine; None when there is none that can be read."""
    try:
        record = json.loads((ROOT / engine / "install.json").read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def installed() -> list[str]:
    """Return the engines that this node has a record of, sorted; failed ones too."""
    return sorted(path.parent.name for path in ROOT.glob("*/install.json"))


def state_of(engine: str) -> dict[str, Any]:
    """What is installed of an engine, as recorded, and what of that is there byte for byte."""
    record = read_install(engine) or {}
    recorded = record.get("binary_sha256", {})
    try:
        found = hashes((ROOT / engine / "bin").resolve().parent, record)
    except OSError:
        found = {}
    whole = {
        part: record.get(part) if part in found and found[part] == recorded.get(part) else None
        for part in FOUNDATIONS
    }
    is_intact = bool(record.get("installed")) and found == recorded
    return {"install": record, "intact": is_intact, **whole}


def cpu() -> tuple[str, str]:
    """The CPU's model as a person says it, and all that a compiler may make use of."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if "CPU part" in fields:
        parts = ("CPU implementer", "CPU variant", "CPU part", "Features")
        board = Path("/sys/firmware/devicetree/base/model")
        model = board.read_text().rstrip("\0") if board.exists() else f"ARM {fields['CPU part']}"
        return model, " ".join(fields.get(part, "") for part in parts)
    model = fields.get("model name", os.uname().machine)
    parts = ("cpu family", "model", "stepping", "flags")
    return model, " ".join([model, *(fields.get(part, "") for part in parts)])


def os_release() -> str:
    """Name and version of the operating system: a program built on another may not start."""
    fields = dict(
        line.rstrip().split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    return "-".join(fields.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))


def architecture() -> str:
    """The architecture as Debian names it (`amd64`, `arm64`)."""
    asked = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or os.uname().machine


def compiler() -> str | None:
    """First line of the C++ compiler's version; None where there is none."""
    if not shutil.which("g++"):
        return None
    told = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False)
    return told.stdout.partition("\n")[0].strip() or None


def probe() -> dict[str, Any]:
    """All that the roles want to know of a node, in one round trip."""
    model, detail = cpu()
    key = f"{architecture()} {os_release()} {detail}"
    above = next(path for path in (ROOT, *ROOT.parents) if path.exists())
    return {
        "architecture": architecture(),
        "cpu_model": model,
        "cpu_key": hashlib.sha256(key.encode()).hexdigest()[:16],
        "compiler": compiler(),
        "cores": len(os.sched_getaffinity(0)),
        "free_mib": shutil.disk_usage(above).free >> 20,
        "vulkan_lacks": [
            package for package, paths in VULKAN.items() if not any(map(glob.glob, paths))
        ],
        "engines": {name: state_of(name) for name in installed()},
    }


def free_port() -> int:
    """Return a free TCP port of the loopback address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def lines_of(terminal: int) -> Iterator[str]:
    """What is written to a terminal, line by line, until no writer is left."""
    rest = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # EIO: the other end is closed
            block = b""
        if not block:
            break
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode(errors="replace").strip() for line in whole)
    yield rest.decode(errors="replace").strip()


def unprivileged() -> dict[str, Any]:
    """Return how root starts a program as user nobody, with no group but that user's."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "umask": 0o077}


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def prove(build: Path, argv: list[str], pattern: str, seconds: float = PROOF_SECONDS) -> str | None:
    """Start a program of a build and wait until it says what is expected of it.

    Returns the pattern's first group, None if it has none. Raises RuntimeError with the
    program's last words if it ends, or stays silent, without the pattern.
    """
    command = [str(build / "bin" / argv[0])]
    command += [part.replace("{port}", str(free_port())) for part in argv[1:]]
    said: list[str] = []
    # A terminal, because what goes into a pipe is kept back until there is more of it.
    terminal, end = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
        cwd="/",
        env=PROOF_ENVIRONMENT,
        start_new_session=True,
        **unprivileged(),
    ) as process:
        os.close(end)
        deadline = threading.Timer(seconds, end_group, [process])
        deadline.start()
        try:
            for line in lines_of(terminal):
                said.append(line)
                if match := re.search(pattern, line):
                    return match.group(1) if match.groups() else None
        finally:
            deadline.cancel()
            end_group(process)
            os.close(terminal)
    raise RuntimeError(
        f"{argv[0]} does not run here (exit status {process.returncode}): {' / '.join(said[-3:])}"
    )


def prove_in_unit(
    engine: str,
    argv: list[str],
    pattern: str,
    seconds: float = PROOF_SECONDS,
    gpu: str | None = None,
) -> str | None:
    """Have the node's helper run a program of an engine as it runs one in a trial.

    So what the program is not shown in a unit (devices, folders) it is not shown here either. `gpu`
    is the interface to the GPU that it was built for, whose devices it is shown.

    Returns the pattern's first group, None if it has none. Raises RuntimeError with the
    program's last words, or with the helper's, if it ends without the pattern.
    """
    if not Path(HELPER).exists():
        raise RuntimeError(f"{HELPER} is not there: provision the whole node, without --tags")
    program = str(ROOT / engine / "bin" / argv[0])
    words = "".join(f"arg={word}\n" for word in (program, *argv[1:]))
    wish = f"gpu={gpu}\n" if gpu else ""
    asked = f"run\nunit={PROOF_UNIT}\ndeadline={round(seconds)}\n{wish}{words}\n"
    with subprocess.Popen(
        [HELPER, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as helper:
        # systemd ends the program at its deadline; this is for a helper that hangs.
        deadline = threading.Timer(seconds + PROOF_SECONDS, helper.kill)
        deadline.start()
        try:
            reply_to(helper, "own\nwho=provisioning\n\n")
            reply = reply_to(helper, asked)
        finally:
            deadline.cancel()
            assert helper.stdin  # noqa: S101 - it was asked for
            helper.stdin.close()  # which ends the helper, and what it started
    if match := re.search(pattern, reply.get("out", ""), re.MULTILINE):
        return match.group(1) if match.groups() else None
    said = [line.strip() for part in ("out", "err") for line in reply.get(part, "").splitlines()]
    props = dict(line.split("=", 1) for line in reply.get("props", "").splitlines())
    ended = f"{props.get('Result')}, exit status {props.get('ExecMainStatus')}"
    raise RuntimeError(f"{argv[0]} does not run in its unit ({ended}): {' / '.join(said[-3:])}")


def reply_to(helper: subprocess.Popen[bytes], request: str) -> dict[str, str]:
    """The parts of the helper's reply to a request. Raises RuntimeError if it refuses, or ends."""
    assert helper.stdin  # noqa: S101 - as above
    assert helper.stdout  # noqa: S101
    helper.stdin.write(request.encode())
    helper.stdin.flush()
    parts: dict[str, str] = {}
    while (words := helper.stdout.readline().decode().split())[:1] == ["part"]:
        parts[words[1]] = helper.stdout.read(int(words[2])).decode(errors="replace")
    if words[:2] != ["end", "ok"]:
        owner = parts.get("owner", "").strip()
        why = parts.get("error", "it ended")
        raise RuntimeError(f"{HELPER}: {why}{f' ({owner})' if owner else ''}")
    return parts


def write_install(engine: str, record: dict[str, Any]) -> bool:
    """Write the record if it differs from the existing one; return whether it did."""
    if read_install(engine) == record:
        return False
    folder = ROOT / engine
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as stream:
        json.dump(record, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    Path(stream.name).chmod(0o644)
    Path(stream.name).replace(folder / "install.json")
    return True


def activate(record: dict[str, Any]) -> bool:
    """Prove the build named in the record, point `bin` at it, drop the others.

    The same with what builds depend on: the build's stays.

    The record is the intended install.json without what only the node knows, plus `proof`: {"argv":
    […], "pattern": …}, and perhaps "seconds", see `prove`, and "in_unit": whether it is proven
    where trials run it, and so only after it was put into its place.
    """
    proof = record.pop("proof")
    folder = ROOT / record["engine"]
    build = folder / "builds" / record["build"]
    before = read_install(record["engine"])
    if proof.pop("in_unit", False):
        with undone_by_failure(record["engine"]):
            point_to(build)
            write_install(record["engine"], {**record, "installed": False, "reason": UNTRIED})
            told = prove_in_unit(record["engine"], gpu=record.get("gpu"), **proof)
    else:
        told = prove(build, **proof)
        point_to(build)
    kept = {build, *foundations(folder, record).values()}
    for other in (*folder.glob("builds/*"), *folder.glob("environments/*")):
        if other not in kept:
            shutil.rmtree(other)
    known = {
        "installed": True,
        "reason": None,
        "protocol": told,
        "binary_sha256": hashes(build, record),
    }
    write_install(record["engine"], {**record, **known})
    return before != {**record, **known}


def point_to(build: Path) -> None:
    """Make a build the one whose programs run."""
    folder = build.parents[1]
    link = folder / "bin.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("builds") / build.name / "bin")
    link.replace(folder / "bin")


@contextlib.contextmanager
def undone_by_failure(engine: str) -> Iterator[None]:
    """Put back what was installed before if the block fails; without any, nothing is."""
    folder = ROOT / engine
    before = read_install(engine)
    used = (folder / "bin").resolve().parent if (folder / "bin").is_symlink() else None
    try:
        yield
    except BaseException:
        if used is None:
            (folder / "bin").unlink(missing_ok=True)
        else:
            point_to(used)
        if before is None:
            (folder / "install.json").unlink(missing_ok=True)
        else:
            write_install(engine, before)
        raise


def main(arguments: list[str]) -> int:
    """Do what the first argument says and print the answer as one line of JSON."""
    if arguments[0] == "probe":
        print(json.dumps(probe()))
        return 0
    record = json.loads(arguments[1])
    try:
        if arguments[0] == "describe":
            describe(record)
            return 0
        changed = (activate if arguments[0] == "activate" else refuse)(record)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"changed": changed, "install": read_install(record["engine"])}))
    return 0


def refuse(record: dict[str, Any]) -> bool:
    """Record that the engine is not installed, and why (`reason` in the record)."""
    known: dict[str, Any] = {"installed": False, "protocol": None, "binary_sha256": {}}
    return write_install(record["engine"], {**record, **known})


def describe(traits: dict[str, dict[str, Any]]) -> None:
    """Put what engines say about themselves into their records; the rest of a record stays."""
    for engine, told in traits.items():
        write_install(engine, {**(read_install(engine) or {}), **told})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
