"""Rewrites OpenAPI 3.1 documents as 3.0.3, for gateways that read nothing newer. Pure.

`conversion.convert` is the door. It works on the parsed tree and never fetches anything; what
OpenAPI 3.0 cannot say is listed with its place (`losses`).
"""
