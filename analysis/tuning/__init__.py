"""What fine-tuning changed: a base and the model tuned from it, on the same texts and questions."""
