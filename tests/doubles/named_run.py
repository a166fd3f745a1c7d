"""A run whose files name machines, people, addresses, paths and keys in every way that logs do."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from collect.attempt import ATTEMPT_FILE
from collect.run import ATTEMPTS_FOLDER, RUN_FILE

STORED = Path(__file__).resolve().parents[1] / "data" / "runs" / "petals_links-20261128-214207"
NAMES = {"st1": "raspi-kim", "st2": "라즈베리2"}
USER, KEY, TOKEN = "kimdoyeon", "sk-proj-AbCdEfGhIjKlMnOpQrStUvWx", "hf_" + "abcdefghij" * 3
MACHINE, BOARD = "9c3f1a2b-1111-4222-8333-abcdefabcdef", "1000000012ab34cd"
PRINT = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"
SECRETS = (
    *NAMES.values(), "192.168.7.21", "192.168.7.22", "10.95.0.12", "2a02:8109:9c40:1::7",
    "fe80::1ff:fe23:4567:890a", "b8:27:eb:12:34:56", USER, KEY, TOKEN, MACHINE, BOARD, PRINT,
    "kim@lab.example.ac.kr", "cs.univ.ac.kr", f"/home/{USER}", "/mnt/nas/thesis",
    "0f1e2d3c4b5a6978", "Kim-Schreibtisch", "10-1-2-3", "dca6.3201.02f4", "dca6320102f4", "Lee Min",
    r"Lee\ Min", "Lee%20Min", "git.firm.example", "geheim", "DESKTOP-AB12CD3", "compute.internal",
)  # fmt: skip
LINES = rf"""connect to raspi-kim.cs.univ.ac.kr (192.168.7.21) from RASPI-KIM
as kim@lab.example.ac.kr over fe80::1ff:fe23:4567:890a%eth0 and 2a02:8109:9c40:1::7
hardware address b8:27:eb:12:34:56, in JSON \ub77c\uc988\ubca0\ub9ac2
loading /home/{USER}/llama/models/m.gguf, then /mnt/nas/thesis/geheim.yml and "C:\Users\{USER}\x"
Authorization: Bearer {TOKEN} and {KEY}
host key {PRINT}, machine {MACHINE}, board {BOARD}, desk Kim-Schreibtisch
owner {USER} (라즈베리2은 192.168.7.22), loopback 127.0.0.1, version 0.7.0
from ip-10-1-2-3.eu-west-1.compute.internal (10.1.2.3), port of dca6.3201.02f4 or dca6320102f4
reading /Users/Lee Min/llama/m.gguf, "C:\\Users\\Lee Min\\x y", Lee%20Min, Lee\ Min and Lee Min
from ssh://git@git.firm.example:22/geheim/x.git, https://git.firm.example/geheim.git
on git.firm.example, DESKTOP-AB12CD3, raspi-kim-eth0 and owner_{USER}
"""
WINDOWS = rf"raspi-kim at 192.168.7.21 for {USER} and Lee Min, C:\Users\{USER}\x, 라즈베리2: ok"
"""As a program of Windows writes it: in UTF-16 in the midst of other text."""
BOTH = "+".join(NAMES.values())
"""The axis that names machines, which is part of what ids of cells are hashed from."""
HIDDEN = ("Kim-Schreibtisch",)


def named_run(results: Path) -> Path:
    """Write the run into a folder of runs; return its folder."""
    folder = results / STORED.name
    shutil.copytree(STORED, folder, ignore=shutil.ignore_patterns("expected"))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.write_text(_renamed(path.read_text(encoding="utf-8")), encoding="utf-8")
            path.rename(path.with_name(_renamed(path.name)))
    _change(folder / RUN_FILE, _plan)
    for attempt in sorted((folder / ATTEMPTS_FOLDER).iterdir()):
        for log in attempt.glob("*.worker.out"):
            log.write_text(LINES + log.read_text(encoding="utf-8"), encoding="utf-8")
        for log in attempt.glob("*.root.out"):
            wide = [f"{WINDOWS}\n".encode(form) for form in ("utf-16", "utf-16-be", "utf-16-le")]
            log.write_bytes(log.read_bytes() + b"".join((*wide, "라즈베리2\n".encode("cp949"))))
        _change(attempt / ATTEMPT_FILE, lambda record, own=attempt: _vouched(record, own))
    return folder


def _renamed(text: str) -> str:
    for name, told in NAMES.items():
        text = text.replace(name, told)
    return text


def _change(path: Path, change) -> None:  # noqa: ANN001
    loaded = json.loads(path.read_text(encoding="utf-8"))
    change(loaded)
    path.write_text(json.dumps(loaded, ensure_ascii=False, indent=1), encoding="utf-8")


def _plan(run) -> None:  # noqa: ANN001
    run["matrix_file"] = f"/home/{USER}/llama-herd/experiments/matrices/petals_links.yml"
    run["command"] = ["fab", "run-matrix", "--inventory", f"/home/{USER}/fleet/raspi-kim.yml"]
    run["axes"]["on"] = [BOTH]
    for cell in run["cells"]:
        cell["params"]["on"] = BOTH
    first, second = run["nodes"].values()
    first |= {
        "address": "192.168.7.21",
        "machine_id": "0f1e2d3c4b5a6978",
        "serial_hash": BOARD,
    }
    second |= {"address": "192.168.7.22", "machine_id": "ffeeddccbbaa9988", "boot_id": MACHINE}


def _vouched(record, attempt: Path) -> None:  # noqa: ANN001
    record["params"]["on"] = BOTH
    for name in record["file_bytes"]:
        content = (attempt / name).read_bytes()
        record["file_bytes"][name] = len(content)
        record.setdefault("file_sha256", {})[name] = hashlib.sha256(content).hexdigest()
