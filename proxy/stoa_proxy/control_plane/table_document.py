"""A published table while it arrives: lines of JSON with a header, checked to be whole at its end.

The form is that of `admin.saved_table`, with a `generation` in the header.
"""

from __future__ import annotations

import hashlib
from typing import Final

from stoa_proxy.admin.json_body import Body, read_json
from stoa_proxy.admin.saved_table import END, NAME, VERSION
from stoa_proxy.errors import BodyRefused, ControlPlaneFailed

# A table of 10,000 APIs has some 15 MB; one object as much as the admin API takes.
MAX_BYTES: Final = 512 * 1024 * 1024
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
# Such a first line is never longer, so another kind of page is seen for what it is at once.
_MAX_HEADER_BYTES = 4096


class DocumentReader:
    """Takes the parts of a document in turn and hands out its lines of objects.

    What was handed out counts only when `finish` finds the document whole. All methods raise
    ControlPlaneFailed for what is no table.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._digest = hashlib.sha256()
        self._rest = bytearray()
        self._size = 0
        self._has_header = False
        # The last line is not an object, and which one is last shows at the end.
        self._held: bytes | None = None

    def feed(self, part: bytes) -> list[bytes]:
        """Return the objects' lines that are complete with this part, without line ends."""
        self._size += len(part)
        if self._size > MAX_BYTES:
            raise ControlPlaneFailed(f"the table has more than {MAX_BYTES} bytes")
        self._rest += part
        if b"\n" not in part:
            most = MAX_LINE_BYTES if self._has_header else _MAX_HEADER_BYTES
            if len(self._rest) > most:
                raise ControlPlaneFailed("no table: a line is too long")
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        found: list[bytes] = []
        for line in lines:
            if self._held is not None:
                self._digest.update(self._held + b"\n")
                found.append(self._held)
            if self._has_header:
                self._held = line
            else:
                self._read_header(line)
        return found

    def finish(self) -> None:
        """Check that the document was whole."""
        if self._rest or self._held is None:
            raise ControlPlaneFailed("the table is not whole")
        if _read_line(self._held).values.get(END) != self._digest.hexdigest():
            raise ControlPlaneFailed("the table is not whole: its SHA-256 is another one")

    def _read_header(self, line: bytes) -> None:
        header = _read_line(line)
        version, generation = header.values.get(NAME), header.values.get("generation", 0)
        if version != VERSION or isinstance(version, bool):
            raise ControlPlaneFailed("no table that this gateway can read")
        if not isinstance(generation, int) or isinstance(generation, bool):
            raise ControlPlaneFailed("the table's generation is not a number")
        self.generation = generation
        self._has_header = True
        self._digest.update(line + b"\n")


def _read_line(line: bytes) -> Body:
    try:
        return read_json("application/json", line)
    except BodyRefused as refused:
        raise ControlPlaneFailed(f"no table: {refused.text}") from None
