"""Writes a tree as YAML in a layout that people might choose: every choice is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

FIELDS = (
    "apiVersion", "kind", "metadata", "spec", "name", "labels", "version", "backend", "url",
    "routes", "path", "methods", "policies", "type", "config", "requests", "window", "plans",
    "zzz", "a-b", "a.b/c", "on", "x y",
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["API", "Policy", "rate_limit", "1.0", "true", "null", "~", "# no", "a: b", "- x", "it's",
         'say "x"', "a\\b", "${HOST:-x}", "[x", "{y", "", " lead", "trail ", "é", "&a", "*a", "!t",
         "a #b", "a#b", "http://h:1/p?q=1#f", "%", "@", "`", "yes", "2026-01-01", "0x1f", "1e3"]
    ),
    st.text("ab :#-\"'{}[],&*!|>%@\\é", max_size=12),
)  # fmt: skip
NUMBERS = st.one_of(st.integers(-99, 99), st.booleans(), st.none(), st.just(1.5))
WORDS = {"true", "false", "null", "yes", "on", "no", "off"}
LONG = st.lists(st.text("ab cd", min_size=1, max_size=8), min_size=2, max_size=4).map("\n".join)


def trees() -> st.SearchStrategy[Any]:
    """Return mappings of a document's fields, nested, with lists of all sorts."""
    scalars = st.one_of(TEXTS, NUMBERS, LONG)
    inner = st.recursive(
        scalars,
        lambda deeper: st.one_of(
            st.lists(deeper, max_size=3),
            st.dictionaries(st.sampled_from(FIELDS), deeper, max_size=4),
        ),
        max_leaves=12,
    )
    return st.dictionaries(st.sampled_from(FIELDS), inner, min_size=1, max_size=5)


class Emitter:
    """Writes one document; `comments` are those that it wrote, in their order."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.comments: list[str] = []
        self.lines: list[str] = []

    def write(self, tree: dict[str, Any]) -> str:
        self._above(0)
        self._mapping(tree, 0)
        if self._draw(st.booleans()):
            self.lines.append(self._comment())
        return "\n".join(self.lines) + "\n"

    def _comment(self) -> str:
        text = f"# c{len(self.comments)}{self._draw(st.sampled_from(['', ': x', ' - y', ' # z']))}"
        self.comments.append(text)
        return text

    def _above(self, indent: int) -> None:
        for what in self._draw(st.lists(st.sampled_from(["blank", "comment"]), max_size=2)):
            self.lines.append("" if what == "blank" else " " * indent + self._comment())

    def _end(self) -> str:
        """What may stand at the end of a line."""
        choice = self._draw(st.integers(0, 5))
        return f"{' ' * (choice + 1)}{self._comment()}" if choice < 2 else " " * (choice == 5)

    def _step(self) -> int:
        return int(self._draw(st.sampled_from([1, 2, 2, 3, 4])))

    def _mapping(self, tree: dict[str, Any], indent: int, lead: str = "") -> None:
        step = self._step()
        for number, (key, value) in enumerate(tree.items()):
            start = lead if lead and not number else " " * indent
            if not (lead and not number):
                self._above(indent)
            self._entry(f"{start}{self._key(key)}:", value, indent, step, is_item=False)

    def _sequence(self, items: list[Any], indent: int, lead: str = "") -> None:
        step = self._step()
        for number, value in enumerate(items):
            start = lead if lead and not number else " " * indent
            if not (lead and not number):
                self._above(indent)
            if isinstance(value, dict | list) and value and self._draw(st.booleans()):
                gap = self._draw(st.integers(1, 3))
                head = f"{start}-{' ' * gap}"
                if isinstance(value, dict):
                    self._mapping(value, indent + 1 + gap, head)
                else:
                    self._sequence(value, indent + 1 + gap, head)
                continue
            self._entry(f"{start}-", value, indent, step, is_item=True)

    def _entry(self, head: str, value: Any, indent: int, step: int, *, is_item: bool) -> None:
        if isinstance(value, dict | list) and value and self._draw(st.integers(0, 3)):
            self.lines.append(head + self._end())
            if isinstance(value, dict):
                self._mapping(value, indent + step)
                return
            same = not is_item and self._draw(st.booleans())
            self._sequence(value, indent if same else indent + step)
            return
        if isinstance(value, dict | list):
            self.lines.append(f"{head} {self._flow(value)}{self._end()}")
            return
        if isinstance(value, str) and "\n" in value:
            self._long(head, value, indent + step)
            return
        text = self._scalar(value, is_flow=False)
        gap = " " * self._draw(st.integers(1, 3)) if text else ""
        self.lines.append(f"{head}{gap}{text}{self._end()}")

    def _long(self, head: str, value: str, indent: int) -> None:
        texts = value.split("\n")
        if any(text != text.strip() or not text for text in texts):
            self.lines.append(f"{head} {json.dumps(value)}{self._end()}")
            return
        self.lines.append(f"{head} |-{self._end()}")
        self.lines += [" " * indent + text for text in texts]

    def _key(self, key: str) -> str:
        quoted = key in {"on", "x y"} or not self._draw(st.integers(0, 4))
        return self._draw(st.sampled_from([f'"{key}"', f"'{key}'"])) if quoted else key

    def _flow(self, value: Any) -> str:
        pad = " " * self._draw(st.integers(0, 1))
        comma = f"{' ' * self._draw(st.integers(0, 1))}, "
        if isinstance(value, dict):
            parts = [f"{self._key(k)}: {self._flow(v)}" for k, v in value.items()]
            return f"{{{pad}{comma.join(parts)}{pad}}}"
        if isinstance(value, list):
            return f"[{pad}{comma.join(self._flow(item) for item in value)}{pad}]"
        return self._scalar(value, is_flow=True)

    def _scalar(self, value: Any, *, is_flow: bool) -> str:
        if value is None and not is_flow:
            return str(self._draw(st.sampled_from(["null", "", "~"])))
        if not isinstance(value, str):
            return json.dumps(value)
        is_word = value.isalpha() and value.isascii() and value.lower() not in WORDS
        if is_word and self._draw(st.booleans()):
            return value
        if "\n" not in value and self._draw(st.booleans()):
            return "'" + value.replace("'", "''") + "'"
        return json.dumps(value, ensure_ascii=False)
