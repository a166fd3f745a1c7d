"""Reads what a model is trained on: files, examples, and which documents are held out."""
