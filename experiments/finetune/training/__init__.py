"""Trains with PyTorch, keeps checkpoints, and merges what was trained into the base."""
