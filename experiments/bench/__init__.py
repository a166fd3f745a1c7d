"""Measures the overhead of the toolkit itself."""
