"""The control API of a running process: HTTP in front of the use cases.

It checks who asks, parses what is asked and writes the response; `operations` and the process
decide what is done. Each resource is a module in `api`, `route` makes routes of its functions,
and `openapi` describes them.
"""
