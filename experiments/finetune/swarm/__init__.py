"""Trains prompts through the private swarm of the nodes."""
