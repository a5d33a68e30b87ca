"""Composes YAML events into dicts and lists, for large files that the tools of vendors write."""

from __future__ import annotations

import math
from typing import Any

from stoa_gitops.foundation.yaml.composer import (
    Composer,
    Frame,
    Refused,
    YamlLimits,
    parse_float,
    parse_int,
)


class ValueComposer(Composer[Any]):
    """Composes dicts, lists and scalars; lenient, for files that a vendor's tools write.

    `!` and `!!str` are read, directives are ignored, and a number that JSON has not is a text, as
    is a key of any type. A long text counts more than one value. `lines` has the line, from 1, of
    each value by the identity of its container and its key or index.
    """

    def __init__(self, resolver: Any, limits: YamlLimits) -> None:
        super().__init__(resolver, limits)
        self.lines: dict[tuple[int, str | int], int] = {}
        # A key that is no text is written as it is spelled: `200:` is the key "200".
        self._last_scalar: tuple[Any, str] = (None, "")

    def _start_document(self, event: Any) -> None:
        if self.root is not None:
            mark = event.start_mark
            message = "a second document starts here: one file holds one"
            raise Refused("yaml.syntax", message, mark.line, mark.column)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        value = self._value(text) if event.implicit[0] else text
        self._last_scalar = value, text
        return value

    def _value(self, text: str) -> Any:
        tag = self._tag_of(text)
        if tag.endswith(":null"):
            return None
        if tag.endswith(":bool"):
            return text.lower() == "true"
        try:
            if tag.endswith(":int"):
                return parse_int(text.replace("_", ""))
            if tag.endswith(":float"):
                number = parse_float(text.replace("_", ""))
                return number if math.isfinite(number) else text
        except (ValueError, OverflowError):
            return text
        return text

    def _scalar_size(self, value: Any) -> int:
        return 1 + (len(value) // 32 if isinstance(value, str) else 0)

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and (tag == "!" or str(tag).startswith("tag:yaml.org,2002:str")):
            return
        super()._refuse_tag(event)

    def _new_container(self, kind: str, mark: Any) -> Any:
        return {} if kind == "map" else []

    def _close_container(self, frame: Frame[Any]) -> None:
        pass

    def _append(self, frame: Frame[Any], value: Any, mark: Any) -> None:
        self.lines[id(frame.container), len(frame.container)] = mark.line + 1
        frame.container.append(value)

    def _as_key(self, value: Any, mark: Any) -> str:
        if isinstance(value, (dict, list)):
            raise Refused("yaml.key", "a mapping or a list is not a key", mark.line, mark.column)
        if isinstance(value, str):
            return value
        last, text = self._last_scalar
        return text if last is value else str(value)

    def _pair(self, frame: Frame[Any], key: str, value: Any, mark: Any) -> None:
        if key == "<<":
            self._merge(frame, value, mark)
            return
        mapping, at = frame.container, (id(frame.container), key)
        if key in mapping and key not in frame.merged:
            self._refuse_twice(key[:80], self.lines[at] - 1, mark.line, mark.column)
        self.lines[at] = mark.line + 1
        mapping[key] = value
        frame.merged.discard(key)

    def _merge(self, frame: Frame[Any], value: Any, mark: Any) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                message = "<< takes a mapping or a list of mappings"
                raise Refused("yaml.merge", message, mark.line, mark.column)
            for name, item in source.items():
                if name not in frame.container:
                    frame.container[name] = item
                    frame.merged.add(name)
