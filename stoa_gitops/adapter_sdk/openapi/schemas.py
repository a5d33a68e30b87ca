"""Converts one level of a JSON Schema 2020-12 to a schema of OpenAPI 3.0.3.

Source of the keywords: https://json-schema.org/draft/2020-12, and OpenAPI 3.0.3, "Schema Object".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.openapi.bounds import base_in
from stoa_gitops.adapter_sdk.openapi.exactness import Part
from stoa_gitops.adapter_sdk.openapi.jobs import Context, Job
from stoa_gitops.adapter_sdk.openapi.losses import Effect, Place
from stoa_gitops.adapter_sdk.openapi.objects import SCHEMA, is_extension
from stoa_gitops.adapter_sdk.openapi.references import Where
from stoa_gitops.adapter_sdk.openapi.schema_values import (
    ABSENT,
    NULL,
    NUMERIC_FORMATS,
    OF_TYPE,
    SIMPLE,
    can_take_null,
    distinct,
    is_joinable,
    is_member,
    is_null_only,
    number_of,
    required_of,
    type_of_value,
    types_of,
    with_null,
)

Schema = dict[str, Any]
Handler = Callable[["SchemaLevel", str, Any], None]

HANDLERS: Final[dict[str, Handler]] = {}
"""What converts a keyword, by keyword; the modules of keywords add to it."""

_HOPS: Final = 8
"""Most references after each other that are followed to see the type of a schema."""


def handles(*keywords: str) -> Callable[[Handler], Handler]:
    """Register a function for keywords."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(keywords, handler))
        return handler

    return register


class SchemaLevel:
    """One schema under conversion: what it says, and what it becomes.

    source  its keywords; those of a branch that was joined with it have their place in `_places`
    out     the new schema
    """

    def __init__(self, context: Context, job: Job) -> None:
        self.context = context
        self.job = job
        self.out: Schema = {}
        self.source: Mapping[str, Any] = job.value
        self.base = base_in(job.value, job.base) if "$id" in job.value else job.base
        self.done: set[str] = set()
        self._places: dict[str, Place] = {}
        self._branches: dict[str, list[tuple[int, Any]]] = {}
        self._by_type: dict[str, Schema] = {}

    def convert(self) -> Schema:
        """Return the new schema; its parts are filled in by the jobs that this adds."""
        self._add_null_to_branches()
        for keyword, value in self.source.items():
            handler = HANDLERS.get(keyword)
            if handler is not None:
                handler(self, keyword, value)
            elif is_extension(keyword):
                self.out[keyword] = value
            else:
                self.lose(keyword, "no keyword of OpenAPI 3.0", Effect.TEXT)
        for schema in (self.out, *self._by_type.values()):
            if schema.get("type") == "array":
                schema.setdefault("items", {})
        if self.out.keys() == {"allOf"} and self.source.keys().isdisjoint(("allOf",)):
            (first, *others) = self.out["allOf"]
            # A reference alone, whose neighbours said nothing that 3.0 could say.
            if not others and isinstance(first, Mapping) and "$ref" in first:
                return dict(first)
        return self.out

    # Places and losses

    def place(self, keyword: str) -> Place:
        """Return the place of a keyword in the document."""
        return Place(self._places.get(keyword, self.job.place), keyword)

    def lose(self, keyword: str, message: str, effect: Effect = Effect.VALIDATION) -> None:
        """Note that a keyword is lost; the schema accepts more where the effect is VALIDATION."""
        place = self._places.get(keyword, self.job.place)
        self.context.losses.add(place, keyword, f"{keyword}: {message}", effect)
        if effect is Effect.VALIDATION:
            self.context.exactness.mark(self.job.part)

    def note_kept(self, keyword: str, message: str) -> None:
        """Note a keyword that is kept though 3.1 gives it no meaning: its authors mean 3.0's."""
        place = self._places.get(keyword, self.job.place)
        self.context.losses.add(place, keyword, f"{keyword}: {message}", Effect.VALIDATION)

    def lose_value(self, keyword: str) -> None:
        """Note that a keyword has a value that it cannot have."""
        self.lose(keyword, "left out, for its value is none that the keyword can have")

    # Parts of the new schema

    def add_schema(
        self, value: Any, place: Place, into: Any, key: Any = None, part: Part | None = None
    ) -> None:
        """Add a job for a schema in this one."""
        part = part or self.job.part
        job = Job(SCHEMA, value, place, into, key, part, self.base, inside=self.job.inside)
        self.context.add(job)

    def add_schemas(self, keyword: str, into: list[Any], part: Part | None = None) -> None:
        """Add a job for each schema in a list."""
        place = self.place(keyword)
        branches = self._branches.get(keyword)
        for index, value in branches or enumerate(self.source[keyword]):
            self.add_schema(value, Place(place, index), into, part=part)

    def put(self, keyword: str, value: Any) -> Schema:
        """Write a keyword, beside its like by `allOf`; return the schema that has it now."""
        if keyword not in self.out:
            self.out[keyword] = value
            return self.out
        holder = {keyword: value}
        self.out.setdefault("allOf", []).append(holder)
        return holder

    def home(self, keyword: str) -> Schema:
        """Return the schema that a keyword is written into: the branch of its type, if any."""
        for name in OF_TYPE.get(keyword, ()):
            if name in self._by_type:
                return self._by_type[name]
        return self.out

    def home_of_format(self, value: str) -> Schema:
        """Return the schema that a format is written into."""
        names = ("number", "integer") if value in NUMERIC_FORMATS else ("string",)
        return next((self._by_type[name] for name in names if name in self._by_type), self.out)

    # Null

    def _add_null_to_branches(self) -> None:
        """Take branches that are only null out of `anyOf` and `oneOf`, and allow null in another.

        Where no branch can take it, the branch stays: `nullable` beside `allOf` or `$ref` would
        not accept null, for what is referred to refuses it (OpenAPI 3.0.3, "nullable").
        """
        if "type" in self.source:
            return
        for keyword in ("anyOf", "oneOf"):
            listed = self.source.get(keyword)
            if not isinstance(listed, list):
                continue
            others = [(i, item) for i, item in enumerate(listed) if not is_null_only(item)]
            count = len(listed) - len(others)
            # Of two branches for null, `oneOf` takes none.
            if not others or not count or (keyword == "oneOf" and count > 1):
                continue
            at = next((n for n, (_, item) in enumerate(others) if self._takes_null(item)), None)
            if at is None:
                self._allow_null_outside(others)
                continue
            index, branch = others[at]
            others[at] = (index, with_null(branch))
            if len(others) == 1 and is_joinable(self.source, keyword, branch):
                self._join(keyword, index, others[0][1])
            else:
                self._branches[keyword] = others

    def _takes_null(self, schema: Any) -> bool:
        return can_take_null(schema) and not self.context.references.hoisted_as(schema, SCHEMA)

    def _join(self, keyword: str, index: int, branch: Mapping[str, Any]) -> None:
        place = Place(Place(self.job.place, keyword), index)
        self._places.update(dict.fromkeys(branch, place))
        rest = {name: value for name, value in self.source.items() if name != keyword}
        self.source = {**rest, **branch}

    def _allow_null_outside(self, others: list[tuple[int, Any]]) -> None:
        """Say the type of a reference, and that null is allowed, where readers look for it."""
        found = self._type_behind(others[0][1]) if len(others) == 1 else None
        if found is not None:
            self.out.update(type=found, nullable=True)

    def _type_behind(self, schema: Any) -> str | None:
        for _ in range(_HOPS):
            if not isinstance(schema, Mapping):
                return None
            found = schema.get("type")
            if isinstance(found, str) and found != "null":
                return found if types_of(schema) else None
            reference = schema.get("$ref")
            if not isinstance(reference, str) or "$id" in schema:
                return None
            schema = self.context.references.resolve(reference, self.base, SCHEMA).value
        return None

    # Keywords

    @handles("type")
    def _type(self, keyword: str, value: Any) -> None:
        types = types_of(self.source)
        if types is None:
            self.lose_value(keyword)
            return
        allows_null = "null" in types
        names = [name for name in types if name != "null"]
        if not names:
            values = self._values()
            if values is None or is_member(None, values):
                self.out.update(NULL)
            else:
                self.put("not", {})
            self.done.update(("enum", "const"))
        elif len(names) == 1:
            self.out["type"] = names[0]
            if allows_null:
                self.out["nullable"] = True
        elif not (allows_null and len(names) == 5):  # five types and null are all there are
            self._by_type = {name: {"type": name} for name in names}
            if allows_null:
                self._by_type[names[0]]["nullable"] = True
            self.put("anyOf", list(self._by_type.values()))

    def _values(self) -> list[Any] | None:
        """Return the values that `enum` and `const` leave, None without them."""
        values = self.source.get("enum")
        listed = values if isinstance(values, list) else None
        if "const" not in self.source:
            return listed
        constant = self.source["const"]
        return [constant] if listed is None or is_member(constant, listed) else []

    @handles("enum", "const")
    def _enumeration(self, keyword: str, value: Any) -> None:
        if self.done.intersection(("enum", "const")):
            return
        self.done.add("enum")
        values = self._values()
        if values is None:
            self.lose_value("enum")
        elif not values:
            self.put("not", {})
        elif "const" in self.source and "type" not in self.source:
            self._constant(values[0])
        else:
            self.out["enum"] = distinct(values)

    def _constant(self, value: Any) -> None:
        if value is None:
            self.out.update(NULL)
        else:
            self.out.update(type=type_of_value(value), enum=[value])

    @handles("nullable")
    def _nullable(self, keyword: str, value: Any) -> None:
        """Keep what authors write of 3.0 into a 3.1 document: 3.1 has no such keyword."""
        types = types_of(self.source)
        if value is True and types is not None and len(types) == 1 and types[0] != "null":
            self.out["nullable"] = True
            self.note_kept(keyword, "OpenAPI 3.1 does not know it; kept, and null is accepted")
        elif value is not False:
            self.lose(keyword, "OpenAPI 3.1 does not know it; left out", Effect.TEXT)

    @handles("required")
    def _required(self, keyword: str, value: Any) -> None:
        names = required_of(value)
        if names is ABSENT:
            self.lose_value(keyword)
        elif names:
            self.home(keyword)[keyword] = names

    @handles(*SIMPLE)
    def _simple(self, keyword: str, value: Any) -> None:
        if keyword in self.done:
            return
        checked = SIMPLE[keyword](value)
        if checked is ABSENT:
            self.lose_value(keyword)
        elif keyword == "format":
            self.home_of_format(checked)[keyword] = checked
        else:
            self.home(keyword)[keyword] = checked

    @handles("minimum", "exclusiveMinimum")
    def _lower_bound(self, keyword: str, value: Any) -> None:
        self._bound("minimum", "exclusiveMinimum", lambda exclusive, bound: exclusive >= bound)

    @handles("maximum", "exclusiveMaximum")
    def _upper_bound(self, keyword: str, value: Any) -> None:
        self._bound("maximum", "exclusiveMaximum", lambda exclusive, bound: exclusive <= bound)

    def _bound(
        self, inclusive: str, exclusive: str, is_tighter: Callable[[Any, Any], bool]
    ) -> None:
        """Write the tighter one of two bounds: in 3.0 an exclusive one is a flag beside it."""
        if inclusive in self.done:
            return
        self.done.add(inclusive)
        bound, limit = self.source.get(inclusive, ABSENT), self.source.get(exclusive, ABSENT)
        if bound is not ABSENT and number_of(bound) is ABSENT:
            self.lose_value(inclusive)
            bound = ABSENT
        home = self.home(inclusive)
        if isinstance(limit, bool):
            self.note_kept(exclusive, "a flag is OpenAPI 3.0; kept, and read so")
            home[exclusive] = limit
        elif limit is not ABSENT and number_of(limit) is ABSENT:
            self.lose_value(exclusive)
        elif limit is not ABSENT and (bound is ABSENT or is_tighter(limit, bound)):
            home.update({inclusive: limit, exclusive: True})
            return
        if bound is not ABSENT:
            home[inclusive] = bound

    @handles("$ref", "$dynamicRef")
    def _reference(self, keyword: str, value: Any) -> None:
        if not isinstance(value, str):
            self.lose_value(keyword)
            return
        references = self.context.references
        if keyword == "$dynamicRef" and not references.dynamic_is_clear(value):
            self.lose(keyword, "left out, for it can lead to several schemas")
            return
        target = references.resolve(value, self.base, SCHEMA)
        schema: Schema
        if target.where is Where.COMPONENT:
            schema = {"$ref": target.reference}
            self.context.exactness.add_reference(self.job.part, target.name)
        elif target.where is Where.INLINE:
            schema = {} if target.value else {"not": {}}
        elif target.where is Where.ELSEWHERE:
            schema = {"$ref": value}
            message = "leads to another document, which is neither read nor converted"
            self.lose(keyword, message, Effect.CONTENT)
        else:
            self.lose(keyword, "left out, for it leads nowhere in this document")
            return
        self.out.setdefault("allOf", []).append(schema)
