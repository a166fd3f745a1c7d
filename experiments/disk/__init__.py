"""Runs on this machine's disk: the ledger, and room for what is paid for."""
