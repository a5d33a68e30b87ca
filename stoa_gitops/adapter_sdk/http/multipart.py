"""Bodies of the type multipart/form-data (RFC 7578)."""

from __future__ import annotations

import os
from collections.abc import Mapping


def one_file(
    name: str, filename: str, content: bytes, fields: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """Return body and content type of a form with some fields, then one file.

    Names are ours and need no escape.
    """
    # Random, so that no content holds it: 128 bits.
    boundary = os.urandom(16).hex()
    parts = [
        _part(boundary, f'name="{field}"', value.encode())
        for field, value in (fields or {}).items()
    ]
    head = f'name="{name}"; filename="{filename}"\r\nContent-Type: application/octet-stream'
    parts.append(_part(boundary, head, content))
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, head: str, content: bytes) -> bytes:
    start = f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n"
    return start.encode() + content + b"\r\n"
