"""This gateway as a client of a control plane: it registers, beats, and gets its table."""
