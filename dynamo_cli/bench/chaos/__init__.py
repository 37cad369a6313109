"""Faults under load: what is done to a deployment of real processes, and what its clients see of it."""
