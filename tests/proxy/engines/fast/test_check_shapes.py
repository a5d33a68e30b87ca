"""A shape says of a head what reading it in full says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.api import Api
from stoa_proxy.engines.fast.check_forms import CheckPlan
from stoa_proxy.engines.fast.check_shapes import (
    _LONGEST,
    _OFTEN,
    MOST_SHAPES,
    NGINX_LINE,
    Shape,
    Shapes,
)
from stoa_proxy.engines.fast.quick_heads import Head, Heads

from tests.proxy.core.test_match import route as make_route

SPECIAL = frozenset({"host", "x-forwarded-for"})
LINES = (
    "Host: a", "Host: b", "X-Forwarded-For: 198.51.100.7", "x-forwarded-for: 198.51.100.7",
    "X-API-Key: k1", "X-API-Key: k2", "x-api-key:k1", "X-Note:", "X-Note: \t1 ", "X-Note: a.*b",
    "X-Note: \x7f", "X-Original-URI: /a", "X-Original-URI:/a/b?c=1 ", "X-Original-URI: /a b",
    "x-original-uri: /b", "X-Original-URI: a", "X.Note: 1", "XaNote: 1", " folded", "no colon", "",
)  # fmt: skip
heads = st.lists(st.sampled_from(LINES), min_size=1, max_size=6)
NAMES = frozenset({"x-api-key", "x-note", "host"})


def encode(lines: list[str]) -> bytes:
    return NGINX_LINE + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def read(known: Heads[Any], data: bytes) -> Head[Any] | None:
    return known.find(data[len(NGINX_LINE) :], data)


@given(heads, st.lists(heads, max_size=8), st.data())
def test_what_has_a_known_shape_is_what_its_lines_say(
    first: list[str], others: list[list[str]], data: st.DataObject
) -> None:
    known: Heads[Any] = Heads(SPECIAL, lambda _: object())
    head = read(known, encode(first))
    if head is None:
        return
    shape = Shape(head.lines, head.form, is_nginx=True)
    # Heads that differ in a few lines come close to the shape more often than any ones.
    for lines in (first, *others):
        near = [data.draw(st.sampled_from((one, *LINES))) for one in first]
        for sent in map(encode, (lines, near)):
            found = shape.match(sent)
            if found is None:
                continue
            other = read(known, sent)
            assert other is not None
            assert other.form is head.form
            if shape.path:
                value = next(one.value for one in other.lines if one.name == "x-original-uri")
                path, query = found[shape.path], found[shape.query]
                assert value == (path if query is None else path + b"?" + query)
            groups = shape.groups_of(NAMES)
            differing = NAMES - SPECIAL
            assert tuple(found[one] for one in groups) == other.raw_lines(differing)


def test_a_head_with_other_values_has_the_shape() -> None:
    lines = ["Host: a", "X-API-Key: k1", "X-Original-URI: /a", "X-Note: 1"]
    head = read(Heads(SPECIAL, lambda _: "form"), encode(lines))
    assert head is not None
    shape = Shape(head.lines, head.form, is_nginx=True)
    other = ["Host: a", "X-API-Key:k2", "X-Original-URI:  /b/c?d ", "X-Note: \u00e9"]
    found = shape.match(encode(other))
    assert found is not None
    assert (found[shape.path], found[shape.query]) == (b"/b/c", b"d")
    assert found.group(*shape.groups_of(frozenset({"x-api-key"}))) == b"X-API-Key:k2"
    assert shape.groups_of(frozenset({"x-original-uri"})) == ()
    assert shape.match(encode(["Host: b", *other[1:]])) is None
    assert shape.match(encode(other) * 2) is None
    for odd in (*map(chr, range(9)), *map(chr, range(10, 32)), "\x7f"):
        assert shape.match(encode([*other[:3], f"X-Note: a{odd}b"])) is None


def note(shapes: Shapes[Any], lines: list[str], times: int) -> bytes:
    head = read(Heads(SPECIAL, lambda _: object()), encode(lines))
    assert head is not None
    for _ in range(times):
        shapes.note(head.lines, head.form, encode(lines))
    return encode(lines)


def test_a_shape_is_made_of_heads_that_come_often() -> None:
    shapes: Shapes[Any] = Shapes(is_nginx=True)
    rare = note(shapes, ["Host: a", "X-Original-URI: /a"], _OFTEN - 1)
    assert shapes.find(rare) is None
    often = note(shapes, ["Host: a", "X-Original-URI: /a"], _OFTEN)
    found = shapes.find(often)
    assert found is not None
    assert found[1][found[0].path] == b"/a"


def test_clients_choose_neither_how_many_shapes_there_are_nor_how_long_they_get() -> None:
    shapes: Shapes[Any] = Shapes(is_nginx=True)
    for number in range(2 * MOST_SHAPES):
        lines = [f"X-{number}: 1", "X-Original-URI: /a", *["X-More: 1"] * (number // 3)]
        made = note(shapes, lines, _OFTEN)
        assert shapes.find(made) is not None
        assert sum(map(len, shapes._by_count.values())) <= MOST_SHAPES
    for number in range(10):
        made = note(shapes, [f"Y-{number}: 1", "X-Original-URI: /a"], _OFTEN)
    assert len(shapes._by_count[made.count(b"\n")]) == 4
    long = note(shapes, ["X-Original-URI: /a", f"X-Long: {'1' * _LONGEST}"], _OFTEN)
    assert shapes.find(long) is None


def test_a_plan_holds_no_more_shapes_than_there_are() -> None:
    route = make_route("/a", "r1")
    plan = CheckPlan(route, Api("r1"))
    known: Heads[Any] = Heads(SPECIAL, lambda _: object())
    for number in range(3 * MOST_SHAPES):
        head = read(known, encode([f"X-{number}: 1", "X-API-Key: k1"]))
        assert head is not None
        shape = Shape(head.lines, head.form, is_nginx=True)
        for _ in range(2):
            assert plan.groups_in(shape, frozenset({"x-api-key"})) == (2,)
        assert len(plan._groups) <= MOST_SHAPES


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_method_of_a_check_of_envoy_is_its_line_s(method: str) -> None:
    head = read(Heads(SPECIAL, lambda _: "form"), encode(["Host: a", "X-Note: 1"]))
    assert head is not None
    shape = Shape(head.lines, head.form, is_nginx=False)
    found = shape.match(f"{method} /authz/a?b HTTP/1.1\r\nHost: a\r\nX-Note: 2\r\n\r\n".encode())
    assert found is not None
    assert found.group(shape.method, shape.path, shape.query) == (method.encode(), b"/a", b"b")
