"""The verbs of `fab`, a module a subject: parse, call, print."""
