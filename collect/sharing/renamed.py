"""A run's folder written again with pseudonyms: a run like any other, with the same figures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collect.account import Account
from collect.attempt import ATTEMPT_FILE, AttemptRecord, check_logs, read_log
from collect.judging import JUDGES_FOLDER
from collect.later import LATER_FOLDER, later_names
from collect.load import load_run
from collect.probe import FoundProbe, newest_for, probes_of
from collect.ratings import JUDGEMENTS_SUFFIX, RATINGS_FOLDER
from collect.reference import REFERENCE_FILE
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from collect.sharing.known import KnownNames, known_in, own_homes, own_names, records_of
from collect.sharing.patterns import is_public
from collect.sharing.pseudonyms import HIDDEN, Pseudonyms
from collect.sharing.words import hidden_words, is_generic, require_nameable
from core.errors import HerdError
from core.foreign import as_file_name, one_line
from core.record import LARGEST_RECORD_BYTES, own_folder, read_file, why

PLAN_PREFIX = "shared-"
"""Begins the plan's id of a run without names: the hash of the plan as it is then."""
PUBLIC_APIS = (
    "openai.com", "anthropic.com", "googleapis.com", "mistral.ai", "deepseek.com", "groq.com",
    "together.xyz", "openrouter.ai", "x.ai", "cohere.com", "azure.com", "huggingface.co",
)  # fmt: skip
"""Public services: their names say nothing about who asked them."""
IDENTITIES = {"machine_id": "machine", "serial_hash": "serial"}
"""Facts of a node that are the same wherever it is seen, and what stands for them."""


Machines = Mapping[str, Iterable[str]]
"""Name to addresses of each machine of an inventory."""


def pseudonyms_of(
    folder: Path, account: Account, hide: Iterable[str], machines: Machines | None = None
) -> Pseudonyms:
    """Find every name in a run, in an order that depends on the run alone.

    Args:
        folder: of the run.
        account: of it.
        hide: further words.
        machines: of the inventory as it is now; those that the run names are replaced, too.

    Raises:
        HerdError: a node's name or a further word cannot be distinguished from ordinary words.
    """
    run = account.manifest
    require_nameable(run.nodes)
    nodes = {name: f"node-{n}" for n, name in enumerate(run.nodes, start=1)}
    made = Pseudonyms(dict(nodes))
    others = _other_nodes(folder, run)
    require_nameable(others)
    made.add({name: f"other-node-{n}" for n, name in enumerate(others, start=1)})
    for word in hidden_words(hide):
        made.add({word: f"{HIDDEN}-{made.number(HIDDEN)}"})
    for told in (run.nodes[name].get("address") for name in run.nodes):
        if isinstance(told, str):  # so that node-3 has the third address
            shown = made.text(told)
            if shown != told and "." in told and _is_number(told):
                made.add({told.replace(".", "-"): shown.replace(".", "-")})
    for fact, stem in IDENTITIES.items():
        values = dict.fromkeys(str(facts[fact]) for facts in run.nodes.values() if facts.get(fact))
        made.add({value: f"{stem}-{n}" for n, value in enumerate(values, start=1)})
    plugs = dict.fromkeys(
        name for state in records_of(account) for name in state.plugs if name not in nodes
    )
    made.add({name: f"plug-{n}" for n, name in enumerate(plugs, start=1)})
    made.add(dict(_hosts_of_apis(folder, run)))
    raters = [path.stem for path in _ratings(folder)]
    made.add({name: f"rater-{n}" for n, name in enumerate(raters, start=1)}, exact=True)
    words = _words_of(machines or {}, made)
    known = known_in(folder, account, nodes, words)
    _add_machines(made, len(others), words, known)
    _add_known(made, known)
    made.add(_ids_of_cells(run, made))
    return made


def used_probe(folder: Path, run: RunManifest) -> FoundProbe:
    """The probe that the report of a run uses, if there is one."""
    return newest_for(probes_of(folder), run.nodes, at=run.created_at)


def _other_nodes(folder: Path, run: RunManifest) -> list[str]:
    """Nodes of the inventory that are in the probe and not in the run."""
    record = used_probe(folder, run).record
    if record is None:
        return []
    named = [node.name for node in record.nodes] + list(record.left_out)
    named += [name for link in record.links for name in (link.source, link.target)]
    return [name for name in dict.fromkeys(named) if name not in run.nodes]


def _words_of(machines: Machines, made: Pseudonyms) -> dict[str, str]:
    """Each further word that names a machine of the inventory, in small letters, with its machine.

    IP addresses are found by their form, and what is also an ordinary word names no one.
    """
    known = {name.casefold() for name in made.names}
    return {
        word.casefold(): name
        for name, addresses in machines.items()
        for word in (name, *addresses)
        if not (is_generic(word) or _is_number(word) or word.casefold() in known)
    }


def _add_machines(made: Pseudonyms, before: int, words: dict[str, str], known: KnownNames) -> None:
    """Add the machines of the inventory that the run names, in the order in which it does."""
    named = list(dict.fromkeys(words[word] for word in known.machines))
    made.add({word: f"other-node-{before + 1 + named.index(name)}"
              for word, name in words.items() if name in named})  # fmt: skip


def _add_known(made: Pseudonyms, known: KnownNames) -> None:
    """Add what is known by its place at one point of the run, and about this machine."""
    users = dict.fromkeys([*own_names(), *known.users])
    named = [name for name in users if not is_generic(name) and name not in made.names]
    made.add({name: f"user-of-{n}" for n, name in enumerate(named, start=1)}, exact=True)
    homes = dict.fromkeys(own_homes())
    made.add({home: f"/home-of-{n}" for n, home in enumerate(homes, start=1)}, exact=True)
    for host in known.sources:
        if not (is_public(host) or is_generic(host) or _is_number(host)):
            made.source(host)
    for host in known.services:
        if host not in made.names and not is_generic(host):
            made.service(host)
    domains = [name for name in known.domains if name not in made.names]
    made.add({name: f"domain-{n}.example" for n, name in enumerate(domains, start=1)})
    for digits in known.hardware:
        made.hardware(digits)


def _hosts_of_apis(folder: Path, run: RunManifest) -> Iterator[tuple[str, str]]:
    urls = [system.url for system in run.systems.values()]
    judges = [path for path in _judges(folder) if path.suffix == ".json"]
    urls += [str(_json_of(path.parent, path.name).get("url", "")) for path in judges]
    hosts = dict.fromkeys(filter(None, (_host(url) for url in urls)))
    private = [host for host in hosts if not host.endswith(PUBLIC_APIS) and not _is_number(host)]
    for n, host in enumerate(private, start=1):
        if not is_generic(host):
            yield host, f"api-{n}.example"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_number(host: str) -> bool:
    return not host.strip("0123456789.:abcdefABCDEF[]")


def _ids_of_cells(run: RunManifest, names: Pseudonyms) -> dict[str, str]:
    """New ids of cells whose axes name machines: the old ones are hashes of these names."""
    ids = {}
    for cell in run.cells:
        shown = {axis: _walk(value, names) for axis, value in cell.params.items()}
        if shown != cell.params:
            hashed = hashlib.sha256(json.dumps([shown, cell.identity], sort_keys=True).encode())
            ids[cell.cell_id] = hashed.hexdigest()[: max(10, len(cell.cell_id))]
    return ids


def rename_run(source: Path, account: Account, target: Path, names: Pseudonyms) -> str:
    """Write a run with pseudonyms into `target/<run>`; return its name, which may be another.

    Args:
        source: folder of the run.
        account: of it.
        target: an empty folder.
        names: what becomes which.

    Raises:
        HerdError: a file cannot be read, or is no record any more once names are replaced.
    """
    name = as_file_name(names.text(source.name))
    folder = target / name
    (folder / ATTEMPTS_FOLDER).mkdir(parents=True)
    manifest = _walk(_json_of(source, RUN_FILE), names)
    if names.hides_forms:
        manifest["plan_id"] = plan_hash(manifest)
    _write(folder / RUN_FILE, manifest)
    if (source / REFERENCE_FILE).exists():
        _write(folder / REFERENCE_FILE, _walk(_json_of(source, REFERENCE_FILE), names))
    for later in later_names(source):
        (folder / LATER_FOLDER).mkdir(exist_ok=True)
        _write(folder / LATER_FOLDER / later, _walk(_json_of(source / LATER_FOLDER, later), names))
    for trial in account.trials:
        for attempt in trial.attempts:
            if attempt.record is None:
                raise HerdError(
                    f"Exporting {source.name}: {attempt.reason} Move its folder away, so that the "
                    "run has only attempts that can be read."
                )
            _rename_attempt(attempt.folder, attempt.record, folder / ATTEMPTS_FOLDER, names)
    _rename_ratings(source, folder, names)
    load_run(folder)
    return name


def plan_hash(manifest: Mapping[str, Any]) -> str:
    """The plan's id of a run without names: the hash of all the rest of `run.json`."""
    rest = {key: value for key, value in manifest.items() if key != "plan_id"}
    content = json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()
    return PLAN_PREFIX + hashlib.sha256(content).hexdigest()


def _rename_attempt(source: Path, record: AttemptRecord, above: Path, names: Pseudonyms) -> None:
    """Write an attempt with its logs, and a record that vouches for these."""
    check_logs(source, record)
    folder = above / as_file_name(names.text(source.name))
    folder.mkdir()
    sizes, hashes = {}, {}
    for name in record.file_bytes:
        content = names.data(read_log(source, name))
        told = as_file_name(names.text(name))
        if told in sizes:
            raise HerdError(f"Exporting {source.name}: two of its logs would be {told}.")
        (folder / told).write_bytes(content)
        sizes[told], hashes[told] = len(content), hashlib.sha256(content).hexdigest()
    shown = _walk(_json_of(source, ATTEMPT_FILE), names)
    shown |= {"file_bytes": sizes, "file_sha256": hashes}
    _write(folder / ATTEMPT_FILE, shown)


def _ratings(folder: Path) -> list[Path]:
    own = own_folder(folder, RATINGS_FOLDER)
    found = sorted(own.iterdir()) if own else []
    return [path for path in found if path.name.endswith(JUDGEMENTS_SUFFIX)]


def _judges(folder: Path) -> list[Path]:
    own = own_folder(folder, RATINGS_FOLDER)
    judges = own_folder(own, JUDGES_FOLDER) if own else None
    found = sorted(judges.iterdir()) if judges else []
    return [path for path in found if path.suffix in {".json", ".jsonl"}]


def _rename_ratings(source: Path, folder: Path, names: Pseudonyms) -> None:
    for paths, place in (
        (_ratings(source), RATINGS_FOLDER),
        (_judges(source), f"{RATINGS_FOLDER}/{JUDGES_FOLDER}"),
    ):
        for path in paths:
            (folder / place).mkdir(parents=True, exist_ok=True)
            content = _content(path.parent, path.name)
            (folder / place / as_file_name(names.text(path.name))).write_bytes(names.data(content))


def _walk(value: Any, names: Pseudonyms) -> Any:  # noqa: ANN401 - JSON
    """JSON with every text in it replaced, keys included."""
    if isinstance(value, str):
        return names.text(value)
    if isinstance(value, list):
        return [_walk(one, names) for one in value]
    if isinstance(value, dict):
        made = {names.text(key): _walk(one, names) for key, one in value.items()}
        if len(made) < len(value):
            raise HerdError("Two names in this run differ in their capitals only: rename one.")
        return made
    return value


def _json_of(folder: Path, name: str) -> dict[str, Any]:
    loaded = json.loads(_content(folder, name))
    if not isinstance(loaded, dict):
        raise HerdError(f"{folder / name} is damaged: it must be an object.")
    return loaded


def _content(folder: Path, name: str) -> bytes:
    try:
        return read_file(folder, name, LARGEST_RECORD_BYTES)
    except OSError as error:
        raise HerdError(f"Reading {folder / name}: {why(error)}.") from None


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def copy_run(source: Path, account: Account, target: Path) -> str:
    """Write a run as it is into `target/<run>`: its records, logs and ratings, and nothing else.

    Raises:
        HerdError: it holds what looks like a key.
    """
    names = Pseudonyms({}, hides_forms=False)
    name = rename_run(source, account, target, names)
    watch = Pseudonyms({})
    for path in sorted((target / name).rglob("*")):
        if path.is_file():
            before = watch.secrets
            watch.data(path.read_bytes())
            if watch.secrets > before:
                shutil.rmtree(target / name)
                raise HerdError(
                    f"Exporting {source.name} with names: {one_line(path.name)} holds what looks "
                    "like a key. Export without --with-names, which replaces it, or remove it."
                )
    return name
