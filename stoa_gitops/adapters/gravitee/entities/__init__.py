"""Gravitee's objects as values: parts, ids, marks, server defaults. Pure."""
