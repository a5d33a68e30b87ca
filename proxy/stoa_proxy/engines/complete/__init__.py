"""The engine on aiohttp, which serves everything: streaming, WebSocket, fallbacks, the admin API."""
