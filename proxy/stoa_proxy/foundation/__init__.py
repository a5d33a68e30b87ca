"""Small tools without words of the gateway: clock, units, interning, logs, process limits."""
