"""What a finished run was like, as values: what it logged, what its model sees. `page` makes them one HTML
file."""
