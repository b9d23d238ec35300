"""People: their numbers, profiles, codes, sessions, and what happened to them."""
