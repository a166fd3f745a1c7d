"""llama-herd's own programs around Petals: a server of blocks, a client, a chat server."""
