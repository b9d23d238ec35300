"""What the commands about subscriptions share: whom they are about, and how things stand with them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record
from gemini_core.errors import NotFound
from gemini_core.model.billing.subscriptions import SubscriptionStatus
from gemini_core.model.ids import UserId

F = TypeVar("F", bound=Callable[..., Any])


def dry(command: F) -> F:
    """`--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")(command)


def find(backend: Backend, who: str) -> UserId:
    """Whom an id or a number means; the id of somebody who is gone will do. Raises `NotFound`, `Invalid`."""
    try:
        return backend.core.find_user(who).id
    except NotFound:
        with suppress(ValueError):
            return backend.core.billing_records.record(UserId(UUID(who))).user_id
        raise


def stands(status: SubscriptionStatus) -> Record:
    """How things stand with somebody."""
    return {
        "plan": status.plan,
        "status": status.status,
        "valid_until": status.valid_until,
        "cancel_at_period_end": status.cancel_at_period_end,
    }
