"""From features to pseudo labels, neighbours and cluster matches. Knows no loss and no trainer."""
