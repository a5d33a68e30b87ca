"""The only callers of adapters: observe a gateway, apply a plan, verify, probe, read exports.

A driver decides nothing about plans (planning/) and keeps nothing on disk (store/).
"""
