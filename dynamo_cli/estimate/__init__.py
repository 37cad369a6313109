"""How much memory a model will need, of its metadata and an engine's settings: pure, and without any engine."""
