"""Reads files as documents: YAML parsers, JSON Schemas, canonical form; no kind has code here."""
