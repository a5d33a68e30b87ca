"""A webMethods 11 in a process of its own: the double of the tests, which counts what it is asked.

`python -m benchmarks.webmethods_node` prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio

from benchmarks.counting_node import TOKEN, serve
from tests.adapters.webmethods.double import WebMethodsDouble

if __name__ == "__main__":
    asyncio.run(serve(WebMethodsDouble("11", tokens={TOKEN: "Administrator"})))
