"""The fast engine: plain HTTP/1.1 requests without aiohttp; everything else is handed to it."""
