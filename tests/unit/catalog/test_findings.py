from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.plaintext_secrets import find_plain_secrets
from stoa_gitops.catalog.findings import mask, may_hold_token, shown, suggest
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.catalog.positions import to_json_pointer
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef

SECRET = "hunter2"
CONTEXT = DocumentContext(
    Key("application", "acme", "x"), SourceRef("x.yaml"), 0, kind_set().schemas
)


@pytest.mark.parametrize(
    "line",
    ["password: hunter2", '  "apiKey": "hunter2"', "- token: hunter2 # note", "pasword: hunter2",
     "x: {secret: hunter2, a: b}",
     "keyRef: hunter2", "Authorization: Bearer hunter2", "value: hunter2",
     "url: https://user:hunter2@host/x",
     "url: https://host/?api_key=hunter2", "a: 1, client-secret: hunter2", "passphrase: 'hunter2",
     "PASSWORD=hunter2"],
)  # fmt: skip
def test_a_line_shows_no_secret(line: str) -> None:
    assert SECRET not in mask(line)


@pytest.mark.parametrize(
    "line",
    [
        "name: billing",
        "url: https://host/x?y=z",
        "keyRef: {env: KEY}",
        "key: |",
        "",
        "  - 7",
        "token: ${TOKEN}",
    ],
)
def test_other_lines_are_shown_as_they_are(line: str) -> None:
    assert mask(line) == line


def test_lines_below_a_secrets_key_are_hidden() -> None:
    assert mask("    hunter2", "password") == "    ***"
    assert mask("    hunter2", "description") == "    hunter2"


def test_hidden_fields_are_masked_whatever_their_name() -> None:
    assert mask("{type: a, tokn: hunter2}", hidden={"tokn"}) == "{type: a, tokn: ***"


@given(st.text(alphabet="abcXYZ019_-./+", min_size=6, max_size=40))
def test_values_of_sensitive_fields_never_show(value: str) -> None:
    for name in ("password", "client_secret", "X-Api-Key", "tokenRef"):
        assert value not in mask(f"  {name}: {value}").removeprefix(f"  {name}: ")


TOKENS = ["AKIA" + "A" * 16, "ghp_" + "a" * 36, "glpat-" + "a" * 20, "xoxb-" + "1" * 12,
          "sk-" + "a" * 24,
          "-----BEGIN RSA PRIVATE KEY-----",
          "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + ".c"]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_their_look(token: str) -> None:
    assert may_hold_token(token.encode())
    assert token not in mask(f"description: {token}")
    assert token not in shown(f"a {token} b")
    value = {"spec": {"list": ["fine", {"deep": f"x {token}"}]}}
    (finding,) = find_plain_secrets(value, "Application", CONTEXT)
    assert (finding.code, finding.pointer) == ("secret.value", ("spec", "list", 1, "deep"))
    assert token not in finding.message + finding.hint


def test_values_are_written_short_and_without_secrets() -> None:
    assert shown("x" * 200) == '"' + "x" * 59 + "…" + "x" * 9 + '"'
    assert shown("hunter2", "password") == "the value"
    assert [shown(value) for value in (None, True, 1.5, [1], {"a": 1})] == [
        "nothing",
        "true",
        "1.5",
        "a list",
        "a mapping",
    ]


@pytest.mark.parametrize(
    ("word", "names", "hint"),
    [
        ("type", ["gatewayType", "baseUrl"], "did you mean gatewayType?"),
        ("url", ["gatewayType", "baseUrl"], "did you mean baseUrl?"),
        ("mobile", ["acme-mobile", "web"], "did you mean acme-mobile?"),
        ("rl", ["gatewayType", "baseUrl"], "there are baseUrl, gatewayType"),
        (
            "acme",
            ["acme-orders", "acme-search", "acme-mobile"],
            "there are acme-mobile, acme-orders, acme-search",
        ),
    ],
)
def test_a_word_of_a_name_is_near_to_it(word: str, names: list[str], hint: str) -> None:
    assert suggest(word, names) == hint


def test_near_names_say_what_there_is() -> None:
    assert suggest("billng", ["billing", "orders"]) == "did you mean billing?"
    assert suggest("ratelimit", ["rate_limit", "x"]) == "did you mean rate_limit?"
    assert suggest("zzz", ["a", "b"]) == "there are a, b"
    assert suggest("zzz", [], what="policy") == "there is no policy"
    assert suggest("zzz", [f"n{number}" for number in range(20)]).startswith(
        "there are 20, such as n0"
    )


def test_pointers_are_escaped() -> None:
    assert to_json_pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


def test_one_mistake_of_a_patch_is_one_finding_for_all_documents_and_gateways(
    read: Callable[..., Catalog], document: Callable[..., str]
) -> None:
    def gateway(name: str) -> str:
        return document(
            "GatewayInstance",
            name,
            f"gatewayType: stoa\nenvironment: dev\nbaseUrl: http://{name}.example",
        )

    patch = "patches: [{kind: API, name: '*', patch: {spec: {backend: {timeout: 30}}}}]"
    api = "version: '1'\nbackend: {url: https://x.example}"
    catalog = read(
        {
            "gateways/second.yaml": gateway("second"),
            "environments/dev.yaml": document("Environment", "dev", patch),
            "tenants/acme/apis/crm/api.yaml": document("API", "crm", api),
            "tenants/acme/apis/shop/api.yaml": document("API", "shop", api),
        }
    )
    (found,) = catalog.diagnostics
    assert found.source.path == "environments/dev.yaml"
    assert found.message.endswith(
        "(patched, in tenants/acme/apis/billing/api.yaml and 2 more files)"
    )
