"""Immutable values that every layer shares: keys, specs, states, changes, plans, outcomes.

Standard library only, no I/O, no clock. Rules about values belong here; decisions about gateways
belong to `planning`, reading and writing to the layers above.
"""
