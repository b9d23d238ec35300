"""What an answer tells of a limit, as the parser of another house reads it."""

from dataclasses import dataclass
from typing import Any

from http_sf import parse


@dataclass(frozen=True, slots=True)
class Quota:
    """Where the caller stands; `window` and `reset` in seconds."""

    policy: str
    limit: int
    window: int
    remaining: int
    reset: int


def quota(answer: Any) -> Quota:
    """The one limit that the answer tells of.

    Draft-ietf-httpapi-ratelimit-headers-10 wants lists of Strings with Integers that are not negative (RFC 9651).
    """
    policy, rule = _member(answer.headers["ratelimit-policy"])
    standing, left = _member(answer.headers["ratelimit"])
    assert standing == policy
    assert rule.keys() == {"q", "w"}
    assert left.keys() == {"r", "t"}
    assert int(answer.headers.get("retry-after", left["t"])) >= left["t"]
    return Quota(policy, rule["q"], rule["w"], left["r"], left["t"])


def _member(header: str) -> tuple[str, dict[str, int]]:
    members: Any = parse(header.encode(), tltype="list")
    ((name, parameters),) = members
    assert type(name) is str, "a String, no Token"
    assert all(type(value) is int and value >= 0 for value in parameters.values())
    return name, parameters
