"""How an answer looks: plain text, or rendered in a terminal while it comes."""
