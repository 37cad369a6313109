"""Talk to a served model from the terminal."""
