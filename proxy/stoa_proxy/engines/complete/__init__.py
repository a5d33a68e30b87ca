"""The engine on aiohttp, which does everything: streaming, WebSocket, fallback, admin API."""
