"""The references of a user's study: `study/references.bib`, which people edit by hand, too."""
