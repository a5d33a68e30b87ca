"""Rules of HTTP without I/O: heads, request targets, and where requests end on a connection."""
