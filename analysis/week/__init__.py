"""The research log and what runs have to do with it: the line of a run, the page of a week."""
