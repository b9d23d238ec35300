"""What accounts need of the world.

Every method of a repository is one transaction and decides its own races. All raise `Unavailable` while their store is
away.
"""
