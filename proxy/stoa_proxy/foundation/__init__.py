"""Small tools that know nothing of APIs: clock, units, interning, logs, process limits."""
