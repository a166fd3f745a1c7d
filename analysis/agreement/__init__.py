"""Whether engines say what the reference says."""
