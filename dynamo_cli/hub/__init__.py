"""Model name -> files on this disk."""
