"""One trial: its processes, what is seen while they run, and what is recorded of it."""
