"""Tokens <-> text: tokenizer, chat template, incremental detokenizer, stop strings."""
