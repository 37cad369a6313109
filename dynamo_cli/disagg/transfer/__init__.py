"""Moving the KV that an engine has exported as bytes: offered by one worker, fetched by another."""
