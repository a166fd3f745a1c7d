"""Fine-tunes a model on this machine, and proves that every form of it is the same."""
