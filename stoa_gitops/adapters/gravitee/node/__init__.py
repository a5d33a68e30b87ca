"""One Gravitee environment: what it holds (snapshot), reading it, its session."""
