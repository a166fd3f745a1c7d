"""A page of this machine for its user alone: a server on the loopback address, and its rules."""
