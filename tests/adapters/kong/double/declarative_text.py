"""Reading the text of a configuration, and writing `GET /config`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tests.adapters.kong.double.schema import Entity

EMPTY_HASH = "0" * 32


class Unreadable(Exception):
    """The text is no configuration; carries Kong's reason."""


def parse(text: str) -> Any:
    """Parse JSON, else YAML; raises `Unreadable`. The caller checks that it is an object."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.line + 1}:{mark.column}" if mark else "1:1"
        problem = str(error.problem)
        if problem.startswith("expected the node content"):
            problem = "did not find expected node content"
        raise Unreadable(f"{where}: {problem}") from error
    except YAMLError as error:
        raise Unreadable(str(error)) from error


def digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def dump(
    entities: dict[str, dict[str, Entity]], list_in_order: Callable[[str], list[Entity]]
) -> str:
    """The YAML of `GET /config`: nulls and defaults included, foreign keys as bare ids."""
    lines = ["_transform: false", "_format_version: '3.0'"]
    for name in [kind for kind, found in entities.items() if found]:
        lines.append(f"{name}:")
        for entity in list_in_order(name):
            body = _block({n: _bare(v) for n, v in entity.items()}, 1)
            lines += ["- " + body[0].lstrip(), *body[1:]]
    return "\n".join(lines) + "\n"


def _bare(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and set(value) == {"id"} else value


def _block(table: Entity, level: int) -> list[str]:
    lines, pad = [], "  " * level
    for name, value in table.items():
        key = name if name.replace("_", "").isalnum() and name[0].isalpha() else json.dumps(name)
        if isinstance(value, dict) and value:
            lines += [f"{pad}{key}:", *_block(value, level + 1)]
        elif isinstance(value, list) and value:
            lines.append(f"{pad}{key}:")
            lines += [line for one in value for line in _element(one, level)]
        else:
            lines.append(f"{pad}{key}: {_scalar(value)}")
    return lines


def _element(value: Any, level: int) -> list[str]:
    pad = "  " * level
    if isinstance(value, dict) and value:
        body = _block(value, level + 1)
        return [f"{pad}- {body[0].lstrip()}", *body[1:]]
    return [f"{pad}- {_scalar(value)}"]


def _scalar(value: Any) -> str:
    """JSON scalars are YAML scalars; only null has a shorter form here."""
    return "~" if value is None else json.dumps(value, ensure_ascii=False)
