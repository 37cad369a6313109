"""Log files of a deployment: written by the keeper, rotated, compressed, read back as one stream."""
