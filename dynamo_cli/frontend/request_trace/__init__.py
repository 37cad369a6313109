"""Request trace files: one record of each request, from which the same load can be offered again."""
