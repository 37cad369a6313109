"""When a prompt is prefilled by another worker, and how its KV gets from there."""
