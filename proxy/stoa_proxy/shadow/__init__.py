"""What mirrored traffic teaches about an API, in bounded memory and without values."""
