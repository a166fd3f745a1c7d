"""The draft of a paper on runs: LaTeX, figures in column width, and a notebook."""
