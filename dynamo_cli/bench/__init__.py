"""Load generator for OpenAI-compatible servers, its report, and the project's own performance budgets."""
