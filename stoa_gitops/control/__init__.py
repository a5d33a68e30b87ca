"""The control listener: health, metrics, status, and what people may ask of the process. It decides nothing."""
