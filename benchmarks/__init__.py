"""One file a claim; results, with the machine they were measured on, in `results/`."""
