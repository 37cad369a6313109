"""What a benchmark sends: prompts, conversations, traces, and the requests written from them."""
