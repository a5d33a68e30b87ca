"""Engines: what drives the core over real connections."""
