"""Smart plugs: how each kind is asked, and what its readings come to. Nothing here asks a node."""
