from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.errors import HerdError
from core.foreign import Amount, Count, FileName, inside, is_file_name, one_line, visible


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc", "a/b", "a\\b", ".ssh", "-rf", "a\0b", "a\nb", "a\x1b[2J",
     "\u202egnp.exe", "x" * 256, "한" * 86, "a\u2028b", "\udc80"],
)  # fmt: skip
def test_what_is_no_file_name_is_refused(name: str) -> None:
    assert not is_file_name(name)
    with pytest.raises(ValidationError):
        TypeAdapter(FileName).validate_python(name)


@pytest.mark.parametrize(
    "name", ["pi1", "a-b.c_d", "질문-1", "x" * 255, "q1 (again)", "pi1.root.out"]
)
def test_names_that_people_give_are_taken(name: str) -> None:
    assert is_file_name(name)


@given(st.text(max_size=40))
def test_a_name_that_is_taken_stays_in_its_folder(name: str) -> None:
    folder = Path("/somewhere/inside")
    if is_file_name(name):
        assert (folder / name).parent == folder
        assert (folder / name).resolve().parent == folder


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "log").symlink_to(tmp_path / "secret")
    with pytest.raises(HerdError, match="points outside"):
        inside(tmp_path / "in", "log")
    assert inside(tmp_path / "in", "folder/file") == tmp_path / "in" / "folder" / "file"


@pytest.mark.parametrize("value", [-1, 2**53 + 1, 1.5, True, "3", 10**400, float("inf")])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Count).validate_python(value)


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_what_is_no_amount_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_python(value)


def test_what_acts_on_a_terminal_is_shown() -> None:
    assert visible("a\x1b]52;c;Zm9v\x07\x9b2J\r\u202eb\n\t한글👨\u200d👩") == (
        "a\\x1b]52;c;Zm9v\\x07\\x9b2J\\x0d\\u202eb\n\t한글👨\u200d👩"
    )
    assert one_line("a\n\n b" + "c" * 1000, most=10) == "a bcccccc…"


def test_a_line_is_cut_at_the_end_of_a_word() -> None:
    text = "Two nodes are slower than one."
    for most in range(len(text)):
        cut = one_line(text, most)
        assert len(cut) <= max(most, 1)
        if most > 9:
            assert text.startswith(f"{cut[:-1]} ")
    assert one_line(text, len(text)) == text
    assert one_line("Zwei " + "x" * 100, 20) == "Zwei xxxxxxxxxxxxxx…"
