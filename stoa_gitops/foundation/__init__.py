"""Small generic tools without domain words: files, backoff, threads, garbage collection, YAML.

Nothing here knows a catalog, a gateway or a plan.
"""
