"""A first topology for a model on a machine: looked at (facts), decided (choose), written (text, write)."""
