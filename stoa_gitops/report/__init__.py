"""Plans, reports and findings as text, JSON, Markdown, SARIF, JUnit and annotations.

Functions from values to `str` (or an iterator of lines), without I/O: the caller knows the terminal
and writes what they return as it is; each text ends with its newline. One module per format,
imported late by its caller: a command shows one of them. What a plan contains is decided in
`planning`, not here.
"""
