"""Benchmarks, each beside a peer; `python -m benchmarks` runs them all."""
