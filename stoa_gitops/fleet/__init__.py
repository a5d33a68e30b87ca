"""Gateways that register themselves: who they are, who may speak for them, and how they are.

Values and state machines: no clock, no I/O, no HTTP. Times are handed in: `now` in seconds of a
monotonic clock, `at` as the aware time of day that people read. The HTTP face is in `control`, the
records in `store`; `daemon` joins them.
"""
