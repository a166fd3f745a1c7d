"""Blind rating: people judge answers without knowing which system gave them."""
