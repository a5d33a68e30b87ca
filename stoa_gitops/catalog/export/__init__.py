"""Proposes catalog documents for objects that exist on a gateway already (`adopt --write`)."""
