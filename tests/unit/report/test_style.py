"""Escaping, columns and cutting; and what an import of the package costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.changes import FieldChange
from stoa_gitops.report.style import Style, display_width, pad, printable, shorten
from stoa_gitops.report.values import field_text, mask_broken_references, value_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x9b\x7f", "\\u001b[2J\\u009b\\u007f"),
        ("a\u202eb\u200d", "a\\u202eb\\u200d"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Zürich 日本", "Zürich 日本"),
    ],
)
def test_what_does_not_show_itself_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_printing_twice_changes_nothing_more(text: str) -> None:
    assert printable(printable(text)) == printable(text)


def test_without_unicode_everything_is_ascii() -> None:
    assert Style(unicode=False).safe("Zürich 😀") == "Z\\u00fcrich \\U0001f600"


@given(st.text(), st.integers(3, 40))
def test_a_cut_keeps_both_ends_and_the_room(text: str, room: int) -> None:
    short = shorten(text, room)
    assert len(short) <= max(room, 0) or short == text
    assert short[:1] == text[:1]
    assert short[-1:] == text[-1:]


def test_columns_count_what_a_terminal_shows() -> None:
    assert display_width("日本") == 4
    assert display_width("e\u0301") == 1
    assert pad("日", 4) == "日  "


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(not set)"),
        ("(not set)", '"(not set)"'),
        (True, "true"),
        (1.5, "1.5"),
        ({"$secret": "env:KEY"}, "env:KEY"),
        ({"a": [{"$secret": "file:/run/x"}, None]}, '{"a": [file:/run/x, null]}'),
        ({"$secret": "plain text"}, "***"),
        ({"$secret": 1}, "***"),
        ({"$secret": "env:KEY", "more": 1}, '{"$secret": "env:KEY", "more": 1}'),
        ([], "[]"),
    ],
)
def test_a_value_is_shown_on_one_line(value: object, shown: str) -> None:
    assert value_text(value, Style()) == shown  # type: ignore[arg-type]


def test_a_reference_stays_and_a_secret_in_its_place_does_not() -> None:
    tree = {"a": ({"$secret": "env:KEY"}, {"$secret": "hunter2"})}
    assert mask_broken_references(tree) == {"a": [{"$secret": "env:KEY"}, {"$secret": "***"}]}


def test_a_sensitive_field_shows_its_note_only() -> None:
    field = FieldChange(("key",), "hunter2", "hunter3", sensitive=True, note="not compared")
    assert field_text(field, Style()) == "(sensitive, not compared)"


def test_importing_the_package_pulls_in_nothing_heavy() -> None:
    program = (
        "import sys, stoa_gitops.report;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {
        "asyncio",
        "logging",
        "xml",
        "urllib",
        "jsonschema",
        "pydantic",
        "aiohttp",
        "httpx",
        "git",
    }
    assert not loaded & heavy


def test_a_secret_in_the_place_of_a_variables_name_is_not_shown() -> None:
    """`pa55w0rd` is a name that a variable may have, and more likely the secret itself."""
    found = {"$secret": "env:pa55w0rd"}
    assert mask_broken_references({"key": found}) == {"key": {"$secret": "env:***"}}
    assert value_text(found, Style()) == "env:***"
