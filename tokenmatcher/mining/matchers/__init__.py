"""Which visible cluster is which infrared one: a matcher a file."""
