"""Makes stored entities: ids, times, generated secrets, hashed passwords."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from tests.adapters.kong.double.defaults import expand_shorthands, fill_defaults, with_echoes
from tests.adapters.kong.double.schema import Entity, EntitySchema, Fields, SchemaSet

# Kong's namespace of derived ids (db/declarative).
ROOT = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")


def generated_id(schema_name: str, key: str) -> str:
    return str(uuid.uuid5(uuid.uuid5(ROOT, schema_name), key))


def id_key(schema: EntitySchema, entity: Entity, parent: tuple[str, str] | None) -> str | None:
    """The text an id is derived from; None when the id will be random.

    `parent` is (foreign key field, id) of the entity this one is nested under. A foreign key given
    as a table does not go into the text, which is why two plugins on two services can get one id.
    """
    if not schema.cache_key:
        key = entity.get(schema.endpoint_key) if schema.endpoint_key else None
        return key if isinstance(key, str) else None
    parts = [schema.name, "*"]
    for name in schema.cache_key:
        if schema.fields[name].get("auto"):
            return None
        if isinstance(entity.get(name), str):
            parts.append(entity[name])
        elif name not in entity:
            if parent and parent[0] == name:
                parts.append(parent[1])
            elif schema.fields[name].get("required"):
                return None
            else:
                parts.append("")
    return ":".join(parts)


class EntityBuilder:
    def __init__(self, schemas: SchemaSet, now: Callable[[], int]) -> None:
        self._schemas = schemas
        self._now = now
        self._store_kind = schemas.database
        self._random = Random(1)

    def random_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def token(self) -> str:
        return "".join(
            self._random.choices(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=32
            )
        )

    def build_entity(self, schema: EntitySchema, entity: Entity, is_transformed: bool) -> Entity:
        """The entity as it is read back. Raises `Mismatch`."""
        entity = expand_shorthands(schema, entity, self._schemas.plugins)
        full = fill_defaults(self.fields_of(schema, entity), entity)
        self._automatic(schema.fields, full)
        for name, spec in schema.fields.items():
            if full[name] is None and spec.get("null_in", self._store_kind) != self._store_kind:
                del full[name]
        if schema.name == "plugins":
            self._plugin_secrets(full)
        if is_transformed:
            self._transform(schema, full)
        return with_echoes(full, self._schemas.plugins)

    def fields_of(self, schema: EntitySchema, entity: Entity) -> Fields:
        if schema.name != "plugins":
            return schema.fields
        plugin = self._schemas.plugins[entity["name"]]
        kind = (
            {"type": "opaque", "default": {}}
            if plugin.is_opaque
            else {
                "type": "record",
                "required": True,
                "fields": plugin.config,
            }
        )
        protocols = {**schema.fields["protocols"], "default": plugin.protocols}
        return {**schema.fields, "config": kind, "protocols": protocols}

    def _automatic(self, fields: Fields, full: Entity) -> None:
        for name, spec in fields.items():
            if not spec.get("auto") or (full[name] is not None and name != "updated_at"):
                continue
            if spec.get("timestamp"):
                moment = self._now()
                full[name] = moment + 0.25 if spec["type"] == "number" else moment
            else:
                full[name] = self.random_id() if spec.get("uuid") else self.token()

    def _plugin_secrets(self, full: Entity) -> None:
        config = full["config"]
        # Another key at each load where none was sent.
        if full["name"] == "oauth2" and config.get("provision_key") is None:
            config["provision_key"] = self.token()
        if full["name"] == "session" and config.get("secret") == "<random>":
            config["secret"] = self.token()

    def _transform(self, schema: EntitySchema, full: Entity) -> None:
        if schema.transform == "basic_auth":
            # basic-auth: SHA-1 of password and consumer id.
            salted = full["password"] + full["consumer"]["id"]
            full["password"] = hashlib.sha1(salted.encode()).hexdigest()
        if schema.transform == "cert_digest":
            full["cert_digest"] = _digest(full["cert"])


def _digest(pem: str) -> str:
    body = re.sub(r"-----[^-]+-----|\s", "", pem)
    try:
        raw: Any = base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raw = body.encode()
    return hashlib.sha256(raw).hexdigest()
