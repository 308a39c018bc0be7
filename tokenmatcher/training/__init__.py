"""From the epoch's targets to weights: one loop for every method and stage, checkpoints."""
