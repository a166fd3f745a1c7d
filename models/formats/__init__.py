"""The file formats: a room each, and what all readers and writers share."""
