"""Chat in PostgreSQL: one module per port.

Locks are always taken in the same order: room, its jobs, the day's units, message, idempotency key (of a crowd: all of
one kind, in the order of authors, before the next). A worker begins with the job. So nobody waits in a circle.
"""
