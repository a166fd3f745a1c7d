"""A session of a run: how it begins or goes on, who takes part, trial after trial."""
