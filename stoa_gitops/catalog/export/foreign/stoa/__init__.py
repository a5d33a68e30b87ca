"""Documents from STOA's own trees of `tenants/`, `webmethods/` and `stoa-catalog/`."""
