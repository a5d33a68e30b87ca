"""A path that validation lets through is one that gateways take, and has one spelling."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.http.targets import read_segments

from stoa_gitops.catalog.evaluation.route_paths import find_path_problem

SCHEMA = json.loads((Path(__file__).parents[4] / "schemas/v1alpha1/api.json").read_text())
PATTERN = re.compile(
    SCHEMA["properties"]["spec"]["properties"]["routes"]["items"]["properties"]["path"]["pattern"]
)
pieces = st.sampled_from(
    ["a", "B", ".", "..", ";", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%00", "%0a", "%7F",
     "%c0%ae", "%C3%A9", "%E0%80%AF",
     "%zz", "%", "%61", "%25", "~", "-", "@"]
)  # fmt: skip
segments = st.lists(pieces, min_size=1, max_size=4).map("".join)
paths = st.lists(segments, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(paths)
@example("/%2e%2e/x")
@example("/a%2F..%2Fb")
@example("/..;x/a")
def test_what_is_let_through_is_read_by_the_data_plane(path: str) -> None:
    if PATTERN.match(path) and find_path_problem(path) is None:
        read_segments(path)


letters = st.sampled_from(["a", "B", "7", "~", "-", "_", "v1.0", "%2F", "%25", "%C3%A9", "@"])
spelled = st.lists(letters, min_size=1, max_size=6)


@given(spelled, st.data())
def test_another_spelling_of_a_path_is_refused(letters: list[str], data: st.DataObject) -> None:
    path = "/" + "".join(letters)
    assert find_path_problem(path) is None
    at = data.draw(st.integers(0, len(letters) - 1))
    one = letters[at]
    other = one.lower() if one.startswith("%") else f"%{ord(one[0]):02x}{one[1:]}"
    respelled = "/" + "".join([*letters[:at], other, *letters[at + 1 :]])
    if one not in ("%25", "@"):  # has no small form; what is reserved may mean something else
        assert read_segments(respelled) == read_segments(path)
        assert find_path_problem(respelled) is not None


@pytest.mark.parametrize(
    "path", ["/a/b", "/v1.0/x", "/...", "/a;v=1/b", "/a%2Fb", "/caf%C3%A9", "/100%25"]
)
def test_usual_paths_are_let_through(path: str) -> None:
    assert PATTERN.match(path)
    assert find_path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("/a/../b", "a path has no dot segments", "write what it means"),
        ("/%2e%2E/b", "a path has no dot segments", "write what it means"),
        ("/a%5C..", "a path has no dot segments", "write what it means"),
        ("/a%00", "a path has no control characters", "write what it means"),
        ("/a%c0%ae", "a path is UTF-8 behind its escapes", "write what it means"),
        ("/a%", "a path has two hex digits after each %", "write %25 for the character itself"),
        ("/%61b%2f", "a path escapes only what has to be, in capitals", "write /ab%2F"),
    ],
)
def test_others_are_refused_with_what_to_do(path: str, message: str, hint: str) -> None:
    assert find_path_problem(path) == (message, hint)
