"""Chat in PostgreSQL: one module per port.

Locks are always taken in the same order: room, then the day's units, then the idempotency key (of a crowd: all of
one kind, in the order of authors, before the next); and on the worker's side job, then message, then units. So nobody
waits in a circle.
"""
