"""From the last lines of a process that failed to what happened and what helps: a table of well-known failures."""
