"""Links, traffic and servers of a run, next to published figures."""
