"""Gravitee's management APIs, typed; versions, options of the gateway instance."""
