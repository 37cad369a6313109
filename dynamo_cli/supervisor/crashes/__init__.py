"""What is kept of a process that failed: a directory with all that helps to say why, and nothing secret."""
