"""The data plane: a gateway of its own, embedded in the reconciler or alone."""
