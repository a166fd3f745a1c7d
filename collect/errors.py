"""The error that a user can cause: one plain paragraph, never a traceback."""

from models.errors import HerdError

__all__ = ["HerdError"]
