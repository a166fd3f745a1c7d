"""Facts of a node in, findings out: one subject a file, nothing here does anything to a machine."""
