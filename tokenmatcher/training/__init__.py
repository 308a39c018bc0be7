"""From the epoch's targets to weights: objectives, one engine, the three stages, checkpoints."""
