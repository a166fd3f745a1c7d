"""`fab cite`: entries are added as text, nothing that a person typed is ever changed."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collect.citing.bib_file import BIB_FILE, BibFile
from collect.citing.checking import problems_of
from collect.citing.cited import cited_in
from collect.citing.works import Work, citation_key, cleaned, work_of
from core.bibtex import read_bibtex, without_latex
from core.errors import HerdError
from core.foreign import one_line
from experiments.citing import fetch
from experiments.citing.fetch import Registries, is_gone, look_up
from tests.doubles.serving import serving

HAND = """% my own notes: keep!
@string{cacm = "Communications of the ACM"}

@article{karp90,   author="Alan H. Karp and Horace P. Flatt",
   title = {Measuring parallel processor performance}, % why not
   journal = cacm, year=1990, doi={10.1145/78607.78614}
}
@comment{jabref-meta: x}
"""
AMDAHL = {
    "author": "Amdahl, Gene M.",
    "title": "Validity of the single processor approach",
    "booktitle": "AFIPS",
    "year": "1967",
    "doi": "10.1145/1465482.1465560",
}


@pytest.mark.parametrize(
    ("typed", "work"),
    [
        ("10.1145/1465482.1465560", Work("doi", "10.1145/1465482.1465560")),
        ("doi:10.1016/S0167-8191(06)80021-9", Work("doi", "10.1016/S0167-8191(06)80021-9")),
        ("https://doi.org/10.1002/0471722162.", Work("doi", "10.1002/0471722162")),
        ("2209.01188", Work("arxiv", "2209.01188")),
        ("arXiv:2209.01188v2", Work("arxiv", "2209.01188")),
        ("https://arxiv.org/pdf/2209.01188v2.pdf", Work("arxiv", "2209.01188")),
        ("hep-th/9901001", Work("arxiv", "hep-th/9901001")),
        ("https://github.com/b4rtaz/distributed-llama",
         Work("url", "https://github.com/b4rtaz/distributed-llama")),
    ],
)  # fmt: skip
def test_a_work_is_named_in_many_ways(typed: str, work: Work) -> None:
    assert work_of(typed) == work


@pytest.mark.parametrize(
    "typed", ["", "Amdahl", "10.1/x", "file:///etc/passwd", "http://a b", "-x"]
)
def test_what_names_no_work_is_refused(typed: str) -> None:
    with pytest.raises(HerdError, match="give a DOI"):
        work_of(typed)


def test_the_first_entry_makes_the_file(tmp_path: Path) -> None:
    added = BibFile(tmp_path / "study").add("inproceedings", AMDAHL)
    assert (added.key, added.is_new) == ("amdahl1967validity", True)
    text = (tmp_path / "study" / BIB_FILE).read_text()
    assert text.startswith("@inproceedings{amdahl1967validity,\n  author = {Amdahl, Gene M.},\n")
    assert read_bibtex(text).entries[0].fields == AMDAHL


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_there_stays_byte_for_byte(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / BIB_FILE
    before = (mark + HAND.replace("\n", end)).encode()
    path.write_bytes(before)
    path.chmod(0o640)
    BibFile(tmp_path).add("", AMDAHL)
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\r\n") == (after.count(b"\n") if end == "\r\n" else 0)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.key for entry in BibFile(tmp_path).read().entries] == [
        "karp90",
        "amdahl1967validity",
    ]


def test_a_work_that_is_there_only_gets_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / BIB_FILE
    path.write_text(HAND)
    karp = {"doi": "10.1145/78607.78614", "year": "1991", "volume": "33", "pages": "539--543"}
    added = BibFile(tmp_path).add("article", karp)
    assert (added.key, added.is_new, added.fields) == ("karp90", False, ("volume", "pages"))
    text = path.read_text()
    assert "% my own notes: keep!" in text
    assert "year=1990" in text
    assert "1991" not in text
    assert BibFile(tmp_path).read().entries[0].fields["volume"] == "33"
    assert BibFile(tmp_path).add("article", karp).fields == ()
    assert path.read_text() == text


def test_typed_fields_without_any_number_are_added_once(tmp_path: Path) -> None:
    typed = {"title": "R&D of {herds}", "author": "김도연", "year": "2025"}
    first = BibFile(tmp_path).add("", typed)
    again = BibFile(tmp_path).add("", typed)
    assert (again.key, again.is_new, again.fields) == (first.key, False, ())
    assert BibFile(tmp_path).add("", typed | {"year": "2026"}).is_new
    assert len(BibFile(tmp_path).read().entries) == 2


def test_an_entry_that_does_not_end_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / BIB_FILE
    path.write_text(HAND + "\n@book{open, title = {No end\n")
    with pytest.raises(HerdError, match="line 10: an entry there does not end"):
        BibFile(tmp_path).add("", AMDAHL)
    assert path.read_text() == HAND + "\n@book{open, title = {No end\n"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / BIB_FILE).write_bytes(HAND.encode() + b"\xff\n")
    with pytest.raises(HerdError, match="line 9: this is not UTF-8"):
        BibFile(tmp_path).add("", AMDAHL)


def test_a_key_of_another_work_is_refused_and_made_keys_differ(tmp_path: Path) -> None:
    file = BibFile(tmp_path)
    file.add("", AMDAHL)
    other = {**AMDAHL, "doi": "10.1145/1"}
    with pytest.raises(HerdError, match="the key amdahl1967validity is that of another work"):
        file.add("", other, "amdahl1967validity")
    assert file.add("", other).key == "amdahl1967validity-2"


def test_a_key_is_made_of_names_in_any_alphabet() -> None:
    assert (
        citation_key({"author": "Kim, Do-Yeon", "year": "2026", "title": "The Herd"}, ())
        == "kim2026herd"
    )
    assert (
        citation_key({"author": "김도연", "year": "2026", "title": "라마"}, ()) == "김도연2026라마"
    )
    assert citation_key({"author": "Bartłomiej Tadych", "title": "Über alles"}, ()) == "tadychuber"


@pytest.mark.parametrize(
    ("typed", "kept", "shown"),
    [
        ("{World Health Organization}", None, ("World Health Organization",)),
        ("{Tools and R&D} and Kim, A", r"{Tools and R\&D} and Kim, A", ("Tools and R&D", "A. Kim")),
        (r"{\input x} and {a{b}", r"{\textbackslash{}input x} and ", None),
        ("박, 민수 and 김도연 and 이 영희", None, ("박민수", "김도연", "이영희")),
    ],
)
def test_an_institution_is_one_name_and_a_korean_name_is_whole(
    tmp_path: Path, typed: str, kept: str | None, shown: tuple[str, ...] | None
) -> None:
    file = BibFile(tmp_path)
    file.add("misc", {"author": typed, "title": "T"})
    (entry,) = file.read().entries
    assert entry.fields["author"].startswith(kept or typed)
    assert entry.fields["author"].count("{") == entry.fields["author"].count("}")
    assert shown is None or entry.authors == shown


def test_the_institution_that_a_registry_names_stays_one_name(
    registry: Registry, tmp_path: Path
) -> None:
    registry.answers[PATH] = says(
        rb"@article{x, author={{Ligo and Virgo {\"O}sterreich} and Erd{\H{o}}s, P}, title={T}}"
    )
    registry.answers["/api/query"] = says(
        ATOM.replace("Colin Raffel", "Research and Development Team").encode()
    )
    found = look_up(DOI, registry.places).fields["author"]
    assert found == "{Ligo and Virgo Österreich} and Erdős, P"
    BibFile(tmp_path).add("", {"author": found, "title": "T"})
    (entry,) = BibFile(tmp_path).read().entries
    assert entry.authors == ("Ligo and Virgo Österreich", "P. Erdős")
    found = look_up(PAPER, registry.places).fields["author"]
    assert found == "Alexander Borzunov and {Research and Development Team}"


@pytest.mark.parametrize(
    "text",
    [
        r"\input{/etc/passwd}", r"\immediate\write18{rm -rf ~}", "}, note = {x}", "{{{", "\\",
        "100 % & #1 _ ^ ~ $x$", "a\x1b[2J\u202eb", "line\nbreak",
    ],
)  # fmt: skip
def test_what_is_fetched_is_text_and_no_command(tmp_path: Path, text: str) -> None:
    file = BibFile(tmp_path)
    file.add("article", {**AMDAHL, "title": text})
    found = file.read()
    assert found.faults == ()
    (entry,) = found.entries
    assert set(entry.fields) == set(AMDAHL)
    value = entry.fields["title"]
    assert not set(value) & {"\n", "\x1b", "\u202e"}
    commands = value.replace(r"\textbackslash{}", "").replace(r"\textasciitilde{}", "")
    assert value.count("{") == value.count("}")  # as BibTeX counts: a backslash changes nothing
    assert without_latex(value) == " ".join(one_line(text, 400).split())
    for name in ("textasciicircum", "textbraceleft", "textbraceright"):
        commands = commands.replace(rf"\{name}{{}}", "")
    for mark in (r"\$", r"\&", r"\#", r"\_", r"\%"):
        commands = commands.replace(mark, "")
    assert not set(commands) & set("\\{}$&#%")


def test_fields_of_others_are_left_out() -> None:
    assert cleaned({"title": "A", "file": "/etc/passwd", "abstract": "x", "year": " "}) == {
        "title": "A"
    }


def test_a_kill_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    file, moments = BibFile(tmp_path), random.Random(2)  # noqa: S311
    (tmp_path / BIB_FILE).write_text(HAND)
    for turn in range(40):
        before = file.path.read_text()
        child = os.fork()
        if child == 0:
            try:
                for n in range(50):
                    file.add(
                        "", {**AMDAHL, "doi": f"10.1145/{turn}.{n}", "title": f"Work {turn} {n}"}
                    )
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = file.path.read_text()
        assert after.startswith(before)
        assert file.read().faults == ()
    file.add("", AMDAHL)


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    def write(name: str) -> None:
        for n in range(10):
            BibFile(tmp_path).add("", {"title": f"{name} {n}", "doi": f"10.1000/{name}.{n}"})

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(BibFile(tmp_path).read().entries) == 30


def test_what_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / BIB_FILE).write_text(
        "@article{a, title={A}, author={B}, year={2020}, jounral={C}, note={}}\n"
        "@article{a, title={Z}}\n"
        "@misc{used, title={U}, url={https://u.example}}\n"
    )
    (tmp_path / "log.md").write_text(
        "As [@used; see @gone, p. 3] says, mail me@x.example, `[@code]`.\n```\n[@fenced]\n```\n"
    )
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "main.tex").write_text(
        "\\citep[see][3]{used,lost} % \\cite{no}\n\\nocite{*}\n"
    )
    cited = cited_in(tmp_path)
    assert cited == {
        "used": "log.md, line 1", "gone": "log.md, line 1", "lost": "paper/main.tex, line 1",
    }  # fmt: skip
    found = problems_of(tmp_path / BIB_FILE, BibFile(tmp_path).read(), cited, {"lost"})
    told = {(one.kind, one.where, one.key) for one in found}
    assert told == {
        ("broken", f"{BIB_FILE}, line 2", "a"),
        ("unread", f"{BIB_FILE}, line 1", "a"),
        ("empty", f"{BIB_FILE}, line 1", "a"),
        ("missing", f"{BIB_FILE}, line 1", "a"),
        ("undefined", "log.md, line 1", "gone"),
        ("unused", f"{BIB_FILE}, line 1", "a"),
    }


LATEX = r"""\documentclass{article} % \cite{no}
Over two lines \cite{a,
   b} and \autocite[see][p.~3]{c}, 5\% of \textcite*{d}\\% \cite{no}
\citep [e.g.,][chap.\ 2]
  % \cite{no}
  {e,% a remark
   f}
\Citet{g} \parencites(see)()[1]{h}[2]{i}{j} \nocite{*} \nocite{k} \footcite[{[p. 1]}]{l}
\volcite{2}[45]{m} \citefield{n}{title} \supercite{ o } \Autocite{김2026}
\verb|\cite{no}| \newcommand{\mine}[1]{\cite{#1}} \citestyle{no} \setcitestyle{no}
\begin{verbatim}
\cite{no}
\end{verbatim}
% \begin{comment}
\cite{p}
\begin{lstlisting}[language=TeX]
\cite{no} \end{lstlisting} \smartcite{q}
"""
LINES_OF_KEYS = {
    "a": 2, "b": 3, "c": 3, "d": 3, "e": 6, "f": 7, "g": 8, "h": 8, "i": 8, "j": 8, "k": 8, "l": 8,
    "m": 9, "n": 9, "o": 9, "김2026": 9, "p": 15, "q": 17,
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_command_of_latex_and_biblatex_that_cites_is_read(tmp_path: Path, end: str) -> None:
    (tmp_path / "main.tex").write_text(LATEX.replace("\n", end), newline="")
    assert cited_in(tmp_path) == {
        key: f"main.tex, line {line}" for key, line in LINES_OF_KEYS.items()
    }


def test_entries_of_biblatex_lack_nothing(tmp_path: Path) -> None:
    (tmp_path / BIB_FILE).write_text(
        "@article{a, title={A}, author={B}, date={2020-05}, journaltitle={J}, eid={7}}\n"
        "@online{b, title={B}, url={https://b.example}, urldate={2026-11-01}, ids={old, older}}\n"
        "@thesis{c, title={C}, author={D}, institution={U}, date={2021}, type={mathesis}}\n"
        "@inproceedings{d, title={D}, author={E}, crossref={e}}\n"
        "@proceedings{e, title={E}, date={2019}, editor={F}}\n"
        "@report{f, title={F}, author={G}, date={2020}}\n"
    )
    (tmp_path / "main.tex").write_text("\\cite{a,older,c,d,f}")
    found = problems_of(tmp_path / BIB_FILE, BibFile(tmp_path).read(), cited_in(tmp_path))
    assert [(one.kind, one.key) for one in found] == [("missing", "f")]


@dataclass
class Registry:
    """A double of doi.org and of arXiv's interface, over https."""

    url: str
    certificate: str
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def places(self) -> Registries:
        return Registries(self.url, self.url, self.certificate)


def certificate(folder: Path, name_in_dns: str = "pinned.example") -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(name_in_dns)]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "own.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, plain))
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    own = certificate(tmp_path)
    made = Registry("", str(own))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Accept", "")))
            made.answers.get(self.path.partition("?")[0], _unknown)(self)

        def log_message(self, *_args: object) -> None:
            pass

    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        made.url = f"https://127.0.0.1:{server.server_port}"
        with serving(server):
            yield made


def _unknown(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def says(
    content: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


BIBTEX = (
    b" @inproceedings{Amdahl_1967, title={Validity of the <i>single</i> processor}, "
    b"url={http://dx.doi.org/10.1145/1465482.1465560}, DOI={10.1145/1465482.1465560}, "
    b"booktitle={Proc. \\input{/etc/passwd} AFIPS}, author={Amdahl, Gene M.}, year={1967} }\n"
)
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><entry>
<published>2022-09-02T17:38:03Z</published><title>Petals: Collaborative Inference
  and Fine-tuning of Large Models</title><author><name>Alexander Borzunov</name></author>
<author><name>Colin Raffel</name></author>
<arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.LG"/>
</entry></feed>"""
PATH = "/10.1145/1465482.1465560"
DOI = Work("doi", "10.1145/1465482.1465560")
PAPER = Work("arxiv", "2209.01188")


def test_a_doi_is_asked_for_as_bibtex_and_redirects_are_followed(registry: Registry) -> None:
    registry.answers[PATH] = says(b"", 302, {"Location": "/transform"})
    registry.answers["/transform"] = says(BIBTEX)
    found = look_up(DOI, registry.places)
    assert registry.asked == [
        (PATH, "application/x-bibtex"),
        ("/transform", "application/x-bibtex"),
    ]
    assert found.kind == "inproceedings"
    assert found.fields["author"] == "Amdahl, Gene M."


def test_a_number_of_arxiv_is_read_from_its_feed(registry: Registry, tmp_path: Path) -> None:
    registry.answers["/api/query"] = says(ATOM.encode())
    found = look_up(PAPER, registry.places)
    assert registry.asked[0][0] == "/api/query?id_list=2209.01188&max_results=1"
    added = BibFile(tmp_path).add(found.kind, {**found.fields, **PAPER.fields})
    text = (tmp_path / BIB_FILE).read_text()
    assert added.key == "borzunov2022petals"
    assert "author = {Alexander Borzunov and Colin Raffel}" in text
    assert "title = {Petals: Collaborative Inference and Fine-tuning of Large Models}" in text
    assert "eprint = {2209.01188}" in text


ENTITIES = '<!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
WRONG: dict[str, tuple[Work, Callable[[BaseHTTPRequestHandler], None], str]] = {
    "unknown": (DOI, _unknown, "does not know it"),
    "an error": (DOI, says(b"", 500), "status 500"),
    "a page": (DOI, says(b"<html>hello</html>"), "one entry of BibTeX"),
    "a page with an entry": (DOI, says(b"<html><pre>" + BIBTEX + b"</pre>"), "one entry of BibTeX"),
    "no UTF-8": (DOI, says(BIBTEX.replace(b"Gene", b"G\xe9ne")), "not UTF-8"),
    "by NAT64": (DOI, says(b"", 302, {"Location": "https://[64:ff9b::c0a8:101]/"}), "not on the"),
    "by 6to4": (DOI, says(b"", 302, {"Location": "https://[2002:7f00:1::]/"}), "not on the"),
    "two entries": (DOI, says(BIBTEX + BIBTEX.replace(b"Amdahl_", b"Other_")), "one entry"),
    "half an entry": (DOI, says(BIBTEX[:60]), "one entry of BibTeX"),
    "too much": (DOI, says(b"%" * (2 << 20)), "more than 1024 KiB"),
    "round and round": (DOI, says(b"", 302, {"Location": PATH}), "redirects more than"),
    "to http": (DOI, says(b"", 302, {"Location": "http://127.0.0.1/x"}), "not https"),
    "to a file": (DOI, says(b"", 302, {"Location": "file:///etc/passwd"}), "not https"),
    "to this machine": (DOI, says(b"", 302, {"Location": "https://localhost/x"}), "not on the"),
    "to the home": (DOI, says(b"", 302, {"Location": "https://192.168.1.1/"}), "not on the"),
    "to the cloud's own": (DOI, says(b"", 302, {"Location": "https://169.254.169.254/"}), "not on"),
    "with a password": (DOI, says(b"", 302, {"Location": "https://u:p@x.example/"}), "not https"),
    "nowhere": (DOI, says(b"", 302, {"Location": ""}), "redirects more than"),
    "no XML": (PAPER, says(b"<feed>"), "does not answer with XML"),
    "entities": (PAPER, says(ATOM.replace("<feed", f"{ENTITIES}<feed", 1).encode()),
                 "document type"),
    "no such paper": (PAPER, says(ATOM.replace("name>", "x>").encode()), "arXiv does not know it"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_registry_that_misbehaves_is_named_and_the_way_by_hand_is_told(
    name: str, registry: Registry
) -> None:
    work, answer, told = WRONG[name]
    registry.answers[PATH if work.kind == "doi" else "/api/query"] = answer
    with pytest.raises(HerdError, match=told) as error:
        look_up(work, registry.places)
    assert "fab cite add" in str(error.value)
    assert "--title" in str(error.value)


@pytest.mark.parametrize("where", ["head", "content"])
def test_a_registry_that_drips_ends_at_its_time(registry: Registry, where: str) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if where == "content":
            handler.end_headers()
        handler.flush_headers()
        for _ in range(100):
            handler.wfile.write(b"%")
            handler.wfile.flush()
            time.sleep(0.1)

    registry.answers[PATH] = drip
    begun = time.monotonic()
    with pytest.raises(HerdError, match="took too long"):
        look_up(DOI, registry.places, seconds=1.0)
    if where == "head":
        with pytest.raises(OSError, match="took too long"):
            is_gone(f"{registry.url}{PATH}", registry.places, seconds=1.0)
    assert time.monotonic() - begun < 6


def test_without_trust_and_without_a_network_nothing_is_taken(registry: Registry) -> None:
    registry.answers[PATH] = says(BIBTEX)
    with pytest.raises(HerdError, match="cannot be reached"):
        look_up(DOI, Registries(registry.url, registry.url))
    closed = Registries("https://127.0.0.1:9", "https://127.0.0.1:9", registry.certificate)
    with pytest.raises(HerdError, match=r"cannot be reached.*give the fields yourself"):
        look_up(DOI, closed)
    assert fetch.Registries().doi.startswith("https://")


def test_an_address_is_gone_only_if_its_server_says_so(registry: Registry) -> None:
    registry.answers |= {
        "/10.1/moved": says(b"", 302, {"Location": "https://192.168.1.1/"}),
        "/10.1/gone": says(b"", 404),
        "/page": says(b"", 301, {"Location": "/page2"}),
        "/page2": says(b"", 410),
        "/shy": says(b"", 403),
        "/busy": says(b"", 503),
    }
    at = Registries(registry.url, registry.url, registry.certificate)
    pages = Registries("https://doi.invalid", registry.url, registry.certificate)
    assert not is_gone(f"{registry.url}/10.1/moved", at)
    assert is_gone(f"{registry.url}/10.1/gone", at)
    assert is_gone(f"{registry.url}/page", pages)
    assert not is_gone(f"{registry.url}/shy", pages)
    assert not is_gone(f"{registry.url}/busy", pages)
    with pytest.raises(OSError, match="not https"):
        is_gone("http://127.0.0.1/x", pages)
    with pytest.raises(OSError, match="not on the Internet"):
        is_gone("https://10.0.0.1/x", pages)


class Names:
    """DNS of a name that answers something else each time, and of numbers that lead here."""

    def __init__(self, answers: Mapping[str, list[str]]) -> None:
        self._answers = {name: iter(places) for name, places in answers.items()}
        self._real = socket.getaddrinfo
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *args: object, **options: object) -> list[Any]:
        self.asked.append(host)
        found = next(self._answers[host]) if host in self._answers else host
        shown = "127.0.0.1" if found == PUBLIC and host == PUBLIC else found
        return [
            (*rest, (shown, *place[1:]))
            for *rest, place in self._real("127.0.0.1", port, *args, **options)  # type: ignore[arg-type]
        ]


PUBLIC = "8.8.8.8"


@pytest.mark.parametrize("way", ["asked", "redirected"])
def test_a_name_is_looked_up_once_and_cannot_turn_to_this_machine_meanwhile(
    way: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.answers |= {"/x": says(b"", 410), "/way": says(b"", 302, {"Location": "/x"})}
    port = registry.url.rpartition(":")[2]
    names = Names({"pinned.example": [PUBLIC, *["127.0.0.1"] * 5]})
    monkeypatch.setattr(socket, "getaddrinfo", names)
    at = Registries("https://doi.invalid", "https://arxiv.invalid", registry.certificate)
    if way == "redirected":
        start = f"{registry.url}/away"
        registry.answers["/away"] = says(b"", 302, {"Location": f"https://pinned.example:{port}/x"})
        at = Registries("https://doi.invalid", registry.url, registry.certificate)
    else:
        start = f"https://pinned.example:{port}/x"
    assert is_gone(start, at)
    assert names.asked.count("pinned.example") == 1
    assert PUBLIC in names.asked, "the connection is to the number that was looked at"
    with pytest.raises(OSError, match="not on the Internet"):
        is_gone(f"https://pinned.example:{port}/x", at)


def test_a_redirect_on_the_same_host_is_looked_at_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.answers |= {"/x": says(b"", 410), "/way": says(b"", 302, {"Location": "/x"})}
    port = registry.url.rpartition(":")[2]
    monkeypatch.setattr(socket, "getaddrinfo", Names({"pinned.example": [PUBLIC, "127.0.0.1"]}))
    at = Registries("https://doi.invalid", "https://arxiv.invalid", registry.certificate)
    with pytest.raises(OSError, match="not on the Internet"):
        is_gone(f"https://pinned.example:{port}/way", at)
    assert [path for path, _ in registry.asked] == ["/way"]


def test_the_certificate_must_be_that_of_the_name(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = registry.url.rpartition(":")[2]
    monkeypatch.setattr(socket, "getaddrinfo", Names({"other.example": [PUBLIC]}))
    at = Registries("https://doi.invalid", "https://arxiv.invalid", registry.certificate)
    with pytest.raises(OSError, match=r"other.example cannot be reached \(SSLError\)"):
        is_gone(f"https://other.example:{port}/x", at)
    assert registry.asked == []
