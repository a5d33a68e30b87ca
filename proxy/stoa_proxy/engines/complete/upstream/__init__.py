"""The client side of the aiohttp engine: connections to upstreams, and HTTP/1.1 on them."""
