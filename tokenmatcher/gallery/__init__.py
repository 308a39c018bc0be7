"""Where was this person? Pictures of a folder as features in a vector database, and searches in it."""
