"""Decides what happens with a request: it runs the policies in their phases, without I/O."""
