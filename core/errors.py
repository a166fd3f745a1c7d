"""The error that a user can cause."""


class HerdError(Exception):
    """A plain paragraph for the user: what was being done, what went wrong, what to do next.

    The command line prints it as it is and exits with status 1; no traceback is shown.
    """
