"""Plans, reports and findings as text, JSON, Markdown, SARIF, JUnit and annotations.

Functions from values to `str` (or an iterator of lines), without I/O: whoever calls them knows the terminal
and writes what they return as it is; each text ends with its newline. A module for each form, imported where it is
asked for: a command shows one of them.
"""
