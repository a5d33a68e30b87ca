"""Each short way through a document leads where the long one does."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.catalog.documents import yaml_prescan as prescan
from stoa_gitops.catalog.evaluation import backend_urls as backends
from stoa_gitops.catalog.findings import TOKEN, may_hold_token
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.catalog.resolution.gateway_support import is_reserved
from tests.laws import examples

URLS = st.lists(
    st.sampled_from(
        [
            "http://",
            "https://",
            "HTTP://",
            "ftp://",
            ":",
            "/",
            "//",
            "a",
            "prod",
            "x.example",
            ".",
            "..",
            "127",
            "0x7f",
            "2130706433",
            "[::1]",
            "@",
            "#",
            "%",
            "?",
            "q=1",
            "-",
            "_",
            ":80",
            ":0",
            ":99999",
            ":08",
            "é",
            "①",
            "~",
            "localhost",
            "LOCALHOST",
            "staging",
            "DEV",
            "\t",
        ]
    ),
    max_size=7,
).map("".join)
NEVER = re.compile(r"(?!)")


@examples(1000)
@given(URLS | URLS.map("https://".__add__))
@example("https://a.example:80/v1")
@example("http://localhost")
@example("http://127.0.0.1")
@example("http://0x7f.1.")
def test_a_usual_url_is_told_as_any_other(url: str) -> None:
    quick = backends.check_url(url, ("at",), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "_USUAL", NEVER)
        assert backends.check_url(url, ("at",), 0) == quick


@given(URLS)
def test_a_host_with_a_name_at_its_end_is_no_address_in_any_notation(host: str) -> None:
    last = unicodedata.normalize("NFKC", host).rstrip(".").lower().rpartition(".")[2]
    if last != "localhost" and ":" not in host and re.match(r"[a-z]", last):
        assert backends.literal_addresses(host) == ()


@given(st.lists(st.sampled_from([b"[", b"{", b"]", b"}", b"\n", b"a", b", ", b": "])).map(b"".join))
def test_lines_with_flow_collections_are_all_of_them(data: bytes) -> None:
    assert list(prescan._flow_lines(data)) == re.findall(rb"[\[{][^\n]*", data)


PARTS = st.sampled_from(
    ["tenants", "acme", "apis", "api.yaml", "openapi.yaml", "openapi.yml", "x.yml", "x.json",
     "policies", "gateways",
     "openapi.d", "platform"]
)  # fmt: skip


@given(st.lists(PARTS, min_size=1, max_size=6).map("/".join))
def test_a_file_may_hold_documents_where_it_has_a_slot(path: str) -> None:
    layout = kind_set().layout
    assert layout.may_hold_documents(path) == (layout.rule(path) is not None)


WEB_TOKEN = r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"


@given(st.from_regex(TOKEN) | st.from_regex(WEB_TOKEN), st.text(max_size=5))
def test_no_token_is_overlooked(text: str, before: str) -> None:
    assert may_hold_token((before + text).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("path", "reserved", "expected"),
    [("/health", ("/health",), True), ("/health/x", ("/health",), False), ("/admin", ("/admin/*",),
                                                                           True),
     ("/admin/x/y", ("/ready", "/admin/*"), True), ("/adm%69n/x", ("/admin/*",), True),
     ("/administer", ("/admin/*",), False),
     ("/", ("/health",), False), ("/health/", ("/health",), True), ("/x", (), False)],
)  # fmt: skip
def test_paths_are_reserved_by_their_segments(
    path: str, reserved: tuple[str, ...], expected: bool
) -> None:
    assert is_reserved(path, reserved) is expected


@pytest.mark.parametrize("environment", ["prod", "dev", "sandbox", "staging"])
@given(URLS)
def test_what_a_host_speaks_of_is_found_word_by_word(environment: str, host: str) -> None:
    here = backends.environment_family(environment)
    families = {backends.environment_family(word) for word in re.split(r"[.\-_]", host.lower())} - {
        ""
    }
    expected = min(families) if here and families and here not in families else ""
    assert backends.foreign_family(host, environment) == expected
