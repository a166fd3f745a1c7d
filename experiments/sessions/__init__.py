"""A session of a run: how it begins or continues, who takes part, trial after trial."""
