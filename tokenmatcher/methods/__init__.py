"""The methods: what an epoch trains towards, a file each."""
