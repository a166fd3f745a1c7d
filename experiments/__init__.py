"""Doing things to machines: the matrix, the cluster, the runner and its ledger."""
