"""Billing in PostgreSQL: one module per port.

Locks are always taken in the same order: customer, then event, then user, then checkout, then idempotency key.
"""
