"""What people look at: the header of a run, a line an epoch, tables of scores."""
