"""`/config`: the one door for changes when Kong has no database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.adapters.kong.double import declarative_text
from tests.adapters.kong.double.dbless import DocumentLoader, Entities, Refused
from tests.adapters.kong.double.defaults import (
    DeprecatedFieldMismatch,
    without_echoes,
    without_nulls,
)
from tests.adapters.kong.double.flatten_errors import flatten_errors
from tests.adapters.kong.double.lua_errors import ErrorTree, invalid_declarative
from tests.adapters.kong.double.references import InternalServerError
from tests.adapters.kong.double.requests import (
    AdminRequest,
    BadJson,
    Unsupported,
    config_parameters,
)
from tests.adapters.kong.double.responses import (
    BAD_JSON,
    INTERNAL_ERROR,
    Response,
    failed,
    message,
    page,
)
from tests.adapters.kong.double.schema import Entity, SchemaSet

_ONLY_WITHOUT = "this endpoint is only available when Kong is configured to not use a database"
_LMDB = (
    "Configuration does not fit in LMDB database, "
    'consider raising the "lmdb_map_size" config for Kong'
)
_UNREADABLE = "failed parsing declarative configuration: "
_NO_STRING = "lyaml/init.lua:460: bad argument #1 to 'parser' (must provide a string argument)"

Refusal = str | ErrorTree | int | None
Predicate = Callable[[Entity], Refusal]


@dataclass(frozen=True)
class Accepted:
    entities: Entities
    digest: str


@dataclass(frozen=True)
class ConfigRequest:
    """One POST /config, parsed but not validated."""

    text: str | None
    document: Any
    wants_flattened: bool
    checks_hash: bool


class ConfigEndpoint:
    def __init__(self, schemas: SchemaSet, loader: DocumentLoader, now: Callable[[], int]) -> None:
        self._schemas = schemas
        self._document_loader = loader
        self._now = now

    def read(self, sent: AdminRequest, database: str) -> ConfigRequest | Response:
        """What was posted, or the answer to what is no configuration at all."""
        if database != "off":
            return message(400, _ONLY_WITHOUT)
        yaml_types = ("text/yaml",) + (
            ("application/yaml",) if self._schemas.is_at_least("3.9") else ()
        )
        try:
            given = config_parameters(sent, yaml_types)
        except Unsupported:
            return page(415, "Unsupported Media Type")
        except BadJson:
            return BAD_JSON
        return self._posted(given)

    def _posted(self, given: dict[str, Any]) -> ConfigRequest | Response:
        flat = False
        # Before, `flatten_errors` in a bare body is an unknown field.
        if self._schemas.is_at_least("3.2"):
            flat = str(given.pop("flatten_errors", "")).lower() in ("1", "true", "on", "yes")
        # Exactly "1": `check_hash=true` is ignored.
        checks = str(given.pop("check_hash", "")) == "1"
        if "_body" in given:
            if not given["_body"]:
                return message(400, "expected a declarative configuration")
            given["config"] = given["_body"]
        if "config" not in given:
            return ConfigRequest(None, given, flat, checks)
        text = given["config"]
        if text is None or isinstance(text, dict | list | bool):
            return _unreadable(_NO_STRING)
        return self._parsed(str(text), flat, checks)

    def _parsed(self, text: str, flat: bool, checks: bool) -> ConfigRequest | Response:
        try:
            document = declarative_text.parse(text)
        except declarative_text.Unreadable as error:
            return _unreadable(str(error))
        # 3.4.2 and 3.9.1 answer 500 to `[1,2]`.
        if isinstance(document, list):
            return INTERNAL_ERROR
        if not isinstance(document, dict):
            return _unreadable("expected an object")
        return ConfigRequest(text, document, flat, checks)

    def evaluate(self, posted: ConfigRequest, refuse: Predicate | None) -> Accepted | Response:
        try:
            entities = self._document_loader.load(posted.document)
        except Refused as error:
            return self._refused(posted, error.document, error.errors)
        except (InternalServerError, DeprecatedFieldMismatch):
            return INTERNAL_ERROR
        reason = refuse(posted.document) if refuse else None
        if isinstance(reason, int):
            return INTERNAL_ERROR
        if reason is not None:
            return self._unattributable(posted, reason)
        return Accepted(entities, self._digest(posted, entities))

    def _refused(self, posted: ConfigRequest, document: Entity, errors: ErrorTree) -> Response:
        if posted.wants_flattened:
            return Response(400, flatten_errors(self._schemas, document, errors))
        return failed(invalid_declarative(errors))

    def _unattributable(self, posted: ConfigRequest, reason: str | ErrorTree) -> Response:
        """As Kong answers what it can tell in plain form only.

        A cause keyed by name, or none at all.
        """
        if posted.wants_flattened:
            return Response(400, {**invalid_declarative({}), "flattened_errors": {}})
        tree = {"services": {"unattributed": [reason]}} if isinstance(reason, str) else reason
        return failed(invalid_declarative(tree))

    def _digest(self, posted: ConfigRequest, entities: Entities) -> str:
        # An empty configuration has the hash of none.
        if not any(entities.values()):
            return declarative_text.EMPTY_HASH
        if posted.text is not None:
            return declarative_text.digest(posted.text)
        return declarative_text.digest(json.dumps([entities, self._now()], sort_keys=True))

    def created(self, entities: Entities) -> Response:
        plugins = self._schemas.plugins
        body = {
            kind: {key: without_echoes(one, plugins) for key, one in found.items()}
            for kind, found in entities.items()
            if found
        }
        # 3.4.2 leaves nulls out of the 201 body, 3.9.1 does not.
        is_full = self._schemas.is_at_least("3.5")
        if is_full:
            for ident, one in body.get("certificates", {}).items():
                body["certificates"][ident] = {**one, "snis": None}
        return Response(201, body if is_full else without_nulls(body))


def too_large() -> Response:
    return page(413, "Request Entity Too Large")


def map_full() -> Response:
    return message(413, _LMDB)


def not_here() -> Response:
    return message(400, _ONLY_WITHOUT)


def _unreadable(reason: str) -> Response:
    return failed(invalid_declarative({"error": _UNREADABLE + reason}))
