"""One command turns a machine into an LLM inference deployment."""

__version__ = "0.1.0"
