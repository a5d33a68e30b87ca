"""What one document is, however odd, harms no other one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from stoa_gitops.catalog.documents import parse
from stoa_gitops.catalog.evaluation import openapi
from stoa_gitops.catalog.findings import has_token, mask, shown, suggest
from stoa_gitops.catalog.positions import QuotedFile
from stoa_gitops.catalog.resolution import environment, evaluation_cache
from stoa_gitops.model.catalog import Catalog
from tests.unit.catalog.conftest import HEAD

Read = Callable[..., Catalog]

OTHER = "api/acme/billing"
EVIL = "tenants/evil/apis/x/api.yaml"
OPENAPI = "tenants/evil/apis/x/openapi.yaml"
TENANT = {"tenants/evil/tenant.yaml": HEAD + "kind: Tenant\nmetadata:\n  name: evil\n"}
BACKEND = "  version: '1'\n  backend: {url: 'https://b.example'}\n"


def api(spec: str = "", backend: str = BACKEND) -> str:
    return f"{HEAD}kind: API\nmetadata:\n  name: x\nspec:\n{backend}{spec}"


def is_applied(catalog: Catalog) -> bool:
    return OTHER in map(str, catalog.desired["main"].resources)


NUMBERS = {
    "4,301 digits": "9" * 4_301,
    "300,000 digits": "9" * 300_000,
    "underscores": "9_" * 4_000 + "9",
    "a minus": "-" + "9" * 4_301,
    "hexadecimal": "0x" + "f" * 5_000,
    "octal": "0o" + "7" * 6_000,
    "binary": "0b" + "1" * 20_000,
    "a huge exponent": "1e" + "9" * 5_000,
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("text", ["description: {}", "routes: [{{path: {}}}]", "{}: 1"])
def test_a_number_that_is_too_long_is_a_finding_at_its_document(
    read: Read, text: str, number: str
) -> None:
    catalog = read({**TENANT, EVIL: api(f"  {text.format(number)}\n")})
    assert {found.source.path for found in catalog.errors} == {EVIL}
    assert "document.internal" not in {found.code for found in catalog.errors}
    assert is_applied(catalog)


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("text", ["x-a: {}", "x-a: {{{}: 1}}", '"x-a": [{}]'])
def test_a_number_that_is_too_long_in_openapi_harms_no_other_document(
    read: Read, text: str, number: str
) -> None:
    described = "openapi: 3.0.0\ninfo: {title: T, version: '1'}\npaths: {}\n"
    catalog = read({**TENANT, EVIL: api(), OPENAPI: described + text.format(number) + "\n"})
    assert {found.source.path for found in catalog.errors} <= {OPENAPI}
    assert "document.internal" not in {found.code for found in catalog.errors}
    assert is_applied(catalog)


class Panic(BaseException):
    """What PyO3 raises where Rust panics."""


Panic.__name__ = "PanicException"


def failing(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize("error", [RuntimeError("x"), RecursionError(), MemoryError(), Panic()])
@pytest.mark.parametrize(
    ("module", "name", "path"),
    [
        (parse, "parse_quickly", EVIL),
        (openapi, "parse_anything", OPENAPI),
        (evaluation_cache, "parse_document", EVIL),
        (environment, "resolve_api", EVIL),
    ],
)
def test_an_exception_is_a_finding_at_the_document(
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    path: str,
    error: BaseException,
) -> None:
    whole, fail = getattr(module, name), failing(error)

    def is_evil(argument: Any) -> bool:
        if isinstance(argument, bytes):
            return b"name: x\n" in argument or b"openapi:" in argument
        return str(getattr(argument, "key", "")) in ("api/evil/x", str(("API", "evil", "x")))

    def maybe(*arguments: Any, **named: Any) -> Any:
        return (fail if any(map(is_evil, arguments)) else whole)(*arguments, **named)

    monkeypatch.setattr(module, name, maybe)
    described = "openapi: 3.0.0\ninfo: {title: T, version: '1'}\npaths: {}\n"
    catalog = read({**TENANT, EVIL: api(), OPENAPI: described})
    (found,) = catalog.errors
    assert (found.code, found.source.path) == ("document.internal", path)
    assert "evil" in catalog.broken_tenants
    assert "acme" not in catalog.broken_tenants
    assert is_applied(catalog)


def test_an_interrupt_is_no_finding(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "parse_quickly", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        read()


LINES = {
    "one word": lambda n: "x" * n,
    "a value": lambda n: "x: " + "a" * n,
    "many fields": lambda n: "a:b " * (n // 4),
    "digits": lambda n: "1" * n,
    "a digit and letters": lambda n: "1a" * (n // 2),
    "dots": lambda n: "a." * (n // 2),
    "blanks": lambda n: "a" + " " * n,
    "words": lambda n: "a  " * (n // 3),
    "heads of tokens": lambda n: "eyJ" * (n // 3),
    "heads of tokens before a dot": lambda n: "eyJ" * (n // 3) + ".",
    "heads of tokens with a blank": lambda n: "eyJ" * (n // 3) + " ." + "eyJ" * 9 + ".a",
    "bodies of tokens": lambda n: ".eyJ" * (n // 4),
    "tokens": lambda n: ("eyJ" + "a" * 10 + ".") * (n // 14),
    "private keys": lambda n: "-----BEGIN " * (n // 11),
    "a private key": lambda n: "-----BEGIN " + "PRIVATE KEY" * (n // 11),
    "users": lambda n: "://a:" * (n // 5),
    "keys of chats": lambda n: "xoxb-" * (n // 5),
    "keys of models": lambda n: "sk-" * (n // 3),
    "keys of forges": lambda n: "github_pat_" * (n // 11),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_text_is_masked_in_time_that_grows_with_its_length(line: Callable[[int], str]) -> None:
    text = line(300_000)

    # At the square of the length, the quickest of these took 20 s.
    started = time.process_time()
    mask(text)
    mask(text, "password")
    shown(text)
    has_token(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_key_above_is_found_in_time_that_grows_with_the_length_of_lines(
    line: Callable[[int], str],
) -> None:
    above = line(300_000)
    file = QuotedFile(f"{above}\n  x: 1\n".encode())
    started = time.process_time()
    assert file.excerpt(2, set()).strip() in ("x: 1", "***")
    assert time.process_time() - started < 2


TOKEN = "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + ".c"


@pytest.mark.parametrize(
    "text",
    [TOKEN, f"x{TOKEN}", f"a.{TOKEN}", f"eyJ.eyJ.{TOKEN}", f"{TOKEN} {TOKEN}", f"eyJ{TOKEN}",
     f".eyJ{'a' * 12}.eyJ{'b' * 12}.eyJ{'c' * 12}", f"{TOKEN}.{TOKEN}"],
)  # fmt: skip
def test_web_tokens_are_found_wherever_they_stand(text: str) -> None:
    assert has_token(text)
    assert "b" * 12 not in mask(f"note: {text}")
    assert "b" * 12 not in shown(text)


@pytest.mark.parametrize("text", ["eyJ" + "a" * 12 + ".eyJ" + "b" * 12, "eyJ.eyJ.c", TOKEN[:-1]])
def test_a_part_of_a_web_token_is_none(text: str) -> None:
    assert not has_token(text)
    assert mask(f"note: {text}") == f"note: {text}"


def test_a_word_that_is_too_long_for_a_name_is_compared_with_none() -> None:
    started = time.process_time()
    assert suggest("a" * 1_000_000, [f"name-{number}" for number in range(5_000)]) == ""
    assert time.process_time() - started < 1
