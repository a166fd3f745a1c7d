"""The part that runs on a node: sent to it through SSH, kept nowhere, run as the user that logs in.

It looks and judges nothing. It needs only Python 3.9 and its standard library.
"""
