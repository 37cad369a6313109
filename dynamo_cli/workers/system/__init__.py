"""What a worker answers over HTTP: health, metrics, controls of its engine, adapters."""
