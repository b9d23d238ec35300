"""Accounts in PostgreSQL: one module per port, one statement per promise.

Locks are always taken in the same order: challenge, phone, user, sessions. So nobody waits in a circle.
"""
