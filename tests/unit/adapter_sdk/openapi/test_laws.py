from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.openapi.conversion import convert
from stoa_gitops.adapter_sdk.openapi.losses import Effect
from stoa_gitops.catalog.evaluation.openapi_links import find_broken_links
from tests.laws import examples
from tests.unit.adapter_sdk.openapi.dialects import (
    document_of,
    errors_30,
    oversights_30,
    validator_30,
    validator_31,
)
from tests.unit.adapter_sdk.openapi.strategies import (
    COMPONENTS,
    components,
    documents,
    negations,
    values,
)


def check(schemas: dict[str, Any], tried: list[Any]) -> None:
    """Assert that the converted schemas accept what these accept, and no more without a loss."""
    converted = convert(document_of(schemas))
    is_exact = all(loss.effect is not Effect.VALIDATION for loss in converted.losses)
    for name in COMPONENTS:
        before, after = validator_31(schemas, name), validator_30(converted.document, name)
        for value in tried:
            is_valid = after.is_valid(value)
            if is_valid != before.is_valid(value):
                assert is_valid, (name, value, converted.document)
                assert not is_exact, (name, value, converted.document)


@given(components(), st.lists(values, min_size=1, max_size=6))
@examples(800)  # more than half of the keywords change what the others mean
def test_what_was_valid_stays_valid_and_what_lost_nothing_is_as_strict(
    schemas: dict[str, Any], tried: list[Any]
) -> None:
    check(schemas, tried)


@given(negations(), st.lists(values, min_size=1, max_size=6))
@examples(800)  # a loss has to meet a negation, perhaps behind a reference, and a fitting value
@example(
    {
        "Alpha": {"not": {"$ref": "#/components/schemas/Beta"}},
        "Beta": {"$ref": "#/components/schemas/Gamma"},
        "Gamma": {"prefixItems": [{"type": "string"}], "items": {"type": "null"}},
    },
    [[None]],
)
@example(
    {
        "Alpha": {"oneOf": [{"$ref": "#/components/schemas/Beta"}, {"type": "object"}]},
        "Beta": {"propertyNames": {"maxLength": 0}, "minProperties": 1, "type": "object"},
        "Gamma": True,
    },
    [{"a": 1}],
)
@example(
    {
        "Alpha": {"if": {"not": {"not": {"propertyNames": {"maxLength": 0}}}}, "then": False},
        "Beta": True,
        "Gamma": True,
    },
    [{"a": 1}],
)
def test_what_a_negation_cannot_say_exactly_refuses_nothing_more(
    schemas: dict[str, Any], tried: list[Any]
) -> None:
    check(schemas, tried)


@given(components())
def test_whatever_converts_is_a_valid_document_and_converts_to_itself(
    schemas: dict[str, Any],
) -> None:
    document = document_of(schemas)
    before = copy.deepcopy(document)
    converted = convert(document)
    assert document == before
    assert errors_30(converted.document) == []
    assert oversights_30(converted.document) == []
    again = convert(converted.document)
    assert again.document is converted.document
    assert again.losses == ()


@given(documents())
def test_whole_documents_become_valid_ones_whose_references_lead_somewhere(
    document: dict[str, Any],
) -> None:
    before = copy.deepcopy(document)
    converted = convert(document)
    assert document == before
    assert errors_30(converted.document) == []
    assert oversights_30(converted.document) == []
    assert list(find_broken_links(dict(converted.document))) == []
    pointers = [loss.pointer for loss in converted.losses]
    assert len(pointers) == len(set(pointers))
    assert "/webhooks" in pointers
