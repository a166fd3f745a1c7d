"""The formats of distributed-llama: `.m` models and `.t` vocabularies."""
