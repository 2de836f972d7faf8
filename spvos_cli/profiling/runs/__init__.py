"""How fast whole runs are, with all that a user waits for: above `segment`, whose runs they are."""
