"""Keeps gateways as the catalog says: the cycle, what triggers it, and the workers that run it.

`cycle` is one pass over one gateway, and decides whether to write at all; `session` has its steps.
What is skipped, held or deleted in a plan is decided in `planning`.
"""
