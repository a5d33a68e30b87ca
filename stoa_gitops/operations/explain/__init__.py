"""`explain`: what a field of a document means, or a finding, and what to do about it.

`topics` finds what a word means, `fields` explains kinds and their fields with the gateway types
that have them, `findings` reads the explanation of a code.
"""
