"""Finds the best settings of an engine on a cluster: successive halving over runs of trials."""
