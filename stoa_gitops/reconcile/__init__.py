"""Keep gateways as the catalog says: the cycle, what triggers it, and who runs it."""
