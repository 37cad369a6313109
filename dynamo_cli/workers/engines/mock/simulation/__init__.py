"""A vLLM-like engine as plain objects: no clock of its own, no I/O, no randomness. Begin with simulator.py."""
