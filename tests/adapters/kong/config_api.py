"""`/config`: the one door for changes when Kong has no database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.adapters.kong import documents
from tests.adapters.kong.answers import BAD_JSON, CRASH, Answer, failed, message, page
from tests.adapters.kong.declarative import Entities, Loader, Refused
from tests.adapters.kong.filling import Mismatch, without_echoes, without_nulls
from tests.adapters.kong.flattening import flattened
from tests.adapters.kong.luatext import Tree, invalid_declarative
from tests.adapters.kong.references import Crashed
from tests.adapters.kong.requests import BadJson, Incoming, Unsupported, config_parameters
from tests.adapters.kong.schemas import Catalogue, Entity

_ONLY_WITHOUT = "this endpoint is only available when Kong is configured to not use a database"
_LMDB = (
    "Configuration does not fit in LMDB database, "
    'consider raising the "lmdb_map_size" config for Kong'
)
_UNREADABLE = "failed parsing declarative configuration: "
_NO_STRING = (
    "lyaml/init.lua:460: bad argument #1 to 'parser' (must provide a string argument)"
)  # fmt: skip

Refusal = str | Tree | int | None
Predicate = Callable[[Entity], Refusal]


@dataclass(frozen=True)
class Accepted:
    entities: Entities
    digest: str


@dataclass(frozen=True)
class Posted:
    """One POST /config, read but not judged."""

    text: str | None
    document: Any
    wants_flattened: bool
    checks_hash: bool


class ConfigApi:
    def __init__(self, catalogue: Catalogue, loader: Loader, now: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._loader = loader
        self._now = now

    def read(self, sent: Incoming, database: str) -> Posted | Answer:
        """What was posted, or the answer to what is no configuration at all."""
        if database != "off":
            return message(400, _ONLY_WITHOUT)
        yaml_types = ("text/yaml",) + (
            ("application/yaml",) if self._catalogue.is_at_least("3.9") else ()
        )
        try:
            given = config_parameters(sent, yaml_types)
        except Unsupported:
            return page(415, "Unsupported Media Type")
        except BadJson:
            return BAD_JSON
        return self._posted(given)

    def _posted(self, given: dict[str, Any]) -> Posted | Answer:
        flat = False
        if self._catalogue.is_at_least("3.2"):
            flat = str(given.pop("flatten_errors", "")).lower() in ("1", "true", "on", "yes")
        checks = str(given.pop("check_hash", "")) == "1"
        if "_body" in given:
            if not given["_body"]:
                return message(400, "expected a declarative configuration")
            given["config"] = given["_body"]
        if "config" not in given:
            return Posted(None, given, flat, checks)
        text = given["config"]
        if text is None or isinstance(text, dict | list | bool):
            return _unreadable(_NO_STRING)
        return self._parsed(str(text), flat, checks)

    def _parsed(self, text: str, flat: bool, checks: bool) -> Posted | Answer:
        try:
            document = documents.parse(text)
        except documents.Unreadable as error:
            return _unreadable(str(error))
        if isinstance(document, list):
            return CRASH
        if not isinstance(document, dict):
            return _unreadable("expected an object")
        return Posted(text, document, flat, checks)

    def evaluate(self, posted: Posted, refuse: Predicate | None) -> Accepted | Answer:
        try:
            entities = self._loader.load(posted.document)
        except Refused as error:
            return self._refused(posted, error.document, error.errors)
        except (Crashed, Mismatch):
            return CRASH
        reason = refuse(posted.document) if refuse else None
        if isinstance(reason, int):
            return CRASH
        if reason is not None:
            return self._unattributable(posted, reason)
        return Accepted(entities, self._digest(posted, entities))

    def _refused(self, posted: Posted, document: Entity, errors: Tree) -> Answer:
        if posted.wants_flattened:
            return Answer(400, flattened(self._catalogue, document, errors))
        return failed(invalid_declarative(errors))

    def _unattributable(self, posted: Posted, reason: str | Tree) -> Answer:
        """As Kong answers what it can tell in plain form only: a cause keyed by name, or none at all."""
        if posted.wants_flattened:
            return Answer(400, {**invalid_declarative({}), "flattened_errors": {}})
        tree = {"services": {"unattributed": [reason]}} if isinstance(reason, str) else reason
        return failed(invalid_declarative(tree))

    def _digest(self, posted: Posted, entities: Entities) -> str:
        if not any(entities.values()):
            return documents.EMPTY_HASH
        if posted.text is not None:
            return documents.digest(posted.text)
        return documents.digest(json.dumps([entities, self._now()], sort_keys=True))

    def created(self, entities: Entities) -> Answer:
        plugins = self._catalogue.plugins
        body = {
            kind: {key: without_echoes(one, plugins) for key, one in found.items()}
            for kind, found in entities.items()
            if found
        }
        is_full = self._catalogue.is_at_least("3.5")
        return Answer(201, body if is_full else without_nulls(body))


def too_large() -> Answer:
    return page(413, "Request Entity Too Large")


def map_full() -> Answer:
    return message(413, _LMDB)


def not_here() -> Answer:
    return message(400, _ONLY_WITHOUT)


def _unreadable(reason: str) -> Answer:
    return failed(invalid_declarative({"error": _UNREADABLE + reason}))
