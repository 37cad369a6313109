"""When a benchmark sends, and over what: arrival times, connections, closed and open loop."""
