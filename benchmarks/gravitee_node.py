"""A Gravitee 4.12 in a process of its own: the double of the tests, which counts what it is asked.

`python -m benchmarks.gravitee_node` prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio

from benchmarks.counting_node import TOKEN, serve
from tests.adapters.gravitee.double import GraviteeDouble

if __name__ == "__main__":
    asyncio.run(serve(GraviteeDouble("4.12.12", tokens={TOKEN: "admin"})))
