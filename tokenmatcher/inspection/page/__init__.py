"""One HTML file of what `tokenmatcher.inspection` found, and its parts as PNG and CSV."""
