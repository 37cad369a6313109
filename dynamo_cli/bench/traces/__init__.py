"""Traces of real traffic, whoever wrote them, read as requests in the order of their time."""
