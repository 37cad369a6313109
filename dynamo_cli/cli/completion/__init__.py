"""Shell completions: scripts generated from the commands themselves, and the values they ask for as you type."""
