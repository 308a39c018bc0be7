"""How well identities are found again: scores of the test protocols."""
