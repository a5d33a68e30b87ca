"""Files over HTTP: downloads in pieces that prove what they are, uploads, multipart bodies."""

from __future__ import annotations

import email
import io

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.http.multipart import one_file
from stoa_gitops.errors import GatewayMalformed, GatewayUnauthorized
from stoa_gitops.model.secret import Secret
from tests.unit.adapter_sdk.serving import served

LARGE = b"PK\x03\x04" + bytes(range(256)) * 20_000


async def _large(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(LARGE), 60_000):
        await response.write(LARGE[start : start + 60_000])
    return response


async def _page(request: web.Request) -> web.Response:
    return web.Response(text="<p>Sign in", content_type="text/html")


async def _denied(request: web.Request) -> web.Response:
    return web.Response(status=403, text="no")


async def test_a_file_is_written_in_pieces() -> None:
    target = io.BytesIO()
    async with served(_large) as here:
        size = await here.client.download("/f", "the file", target, signature=b"PK", most=1 << 30)
    assert (size, target.getvalue()) == (len(LARGE), LARGE)


async def test_a_file_that_is_too_large_ends() -> None:
    async with served(_large) as here:
        with pytest.raises(GatewayMalformed, match="longer than 100000 bytes"):
            await here.client.download(
                "/f", "the file", io.BytesIO(), signature=b"PK", most=100_000
            )


@pytest.mark.parametrize(
    ("handler", "error"), [(_page, GatewayMalformed), (_denied, GatewayUnauthorized)]
)
async def test_anything_else_is_an_error_and_nothing_is_written(
    handler: object, error: type[Exception]
) -> None:
    target = io.BytesIO()
    async with served(handler) as here:  # type: ignore[arg-type]
        with pytest.raises(error):
            await here.client.download("/f", "the file", target, signature=b"PK", most=1 << 30)
    assert target.getvalue() == b""


async def test_a_secret_in_an_upload_is_in_no_message() -> None:
    async def quote(request: web.Request) -> web.Response:
        return web.Response(status=400, text=(await request.read()).decode())

    async with served(quote) as here:
        with pytest.raises(Exception, match="refused") as caught:
            await here.client.upload(
                "POST", "/f", "the upload", b"key=sesame-street", "text/plain",
                secrets=[Secret("sesame-street")],
            )  # fmt: skip
    assert "sesame" not in str(caught.value)


@given(st.binary(max_size=300), st.text(st.characters(codec="ascii", categories=["L", "N"])))
def test_a_form_is_read_back_as_it_was_made(content: bytes, value: str) -> None:
    body, content_type = one_file("file", "x.bin", content, {"name": value})
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    first, second = email.message_from_bytes(head + body).get_payload()  # type: ignore[misc]
    assert first.get_payload() == value  # type: ignore[union-attr]
    assert second.get_filename() == "x.bin"  # type: ignore[union-attr]
    assert content in body
