"""What was measured: attempts on disk, parsers of engine logs, tidy tables."""
