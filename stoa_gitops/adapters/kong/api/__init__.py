"""Kong's Admin API: typed calls and the options of a gateway instance. Knows no canonical object."""
