"""Maps canonical APIs, applications and policies to Kong's entities and back; losses and support.

Pure: no I/O, no state. One mapping per policy type is in `policies`.
"""
