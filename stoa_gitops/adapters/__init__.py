"""One folder per gateway type, and the registry that finds them.

Adapters know one vendor each, never another adapter; see docs/writing-an-adapter.md.
"""
