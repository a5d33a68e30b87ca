"""Reads decK and declarative files as if a node had listed them, for `adopt --from`."""
