"""A recorded load against simulated workers in virtual time, through the router that serves.

Nothing waits: an hour of traffic takes seconds, and the same seed gives the same figures.
"""
