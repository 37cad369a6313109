"""What a starting process is doing, by the lines it writes: a table for each engine family, which imports no engine."""
