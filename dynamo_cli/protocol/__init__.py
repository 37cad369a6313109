"""Everything that crosses a process boundary: plain types and pure functions, no I/O."""
