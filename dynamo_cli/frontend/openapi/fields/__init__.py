"""What the types do not say of the fields of requests: their meaning, and what else is checked."""
