"""Several processes that serve as one gateway: the parent's side, and what workers are given."""
