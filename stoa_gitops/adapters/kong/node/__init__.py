"""One Kong node: what it holds (snapshot), reading it, changes laid over it, its session."""
