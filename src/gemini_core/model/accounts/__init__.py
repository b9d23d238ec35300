"""People: their numbers, profiles, passwords, codes and sessions, what happened to them, and how often it may."""
