"""The control listener: health, readiness and status of the process."""
