"""Readers of the logs that engines write, one module for each engine or part of one."""
