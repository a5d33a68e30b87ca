"""Kong's Admin API: typed calls and options of a gateway instance; no canonical objects."""
