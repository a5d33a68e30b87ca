"""Engines: they drive the core over real connections. The only package here that does I/O."""
