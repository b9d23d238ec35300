"""Who is calling, and under which request id."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import falcon

from gemini_core.model.accounts.people import Client
from gemini_core.model.ids import random_bits

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+")
_MAX_USER_AGENT: Final = 512
_NOWHERE: Final = ("0.0.0.0", "0.0.0.0")  # noqa: S104 - called through a Unix socket


def request_id(req: falcon.Request) -> str:
    """The request's id: the caller's `X-Request-ID` if that is well-formed, else a new one. Always the same one."""
    known: str | None = req.context.get("request_id")
    if known is None:
        asked = req.get_header("X-Request-ID", default="")
        known = asked if _REQUEST_ID.fullmatch(asked) else f"{random_bits(128):032x}"
        req.context.request_id = known
    return known


def client(req: falcon.Request, trusted_proxies: int) -> Client:
    """Who called, seen through `trusted_proxies` proxies of ours.

    Every proxy appends the address that it was called from to `X-Forwarded-For`; what a stranger wrote there stands
    to the left of it and is never read. Where the hop is no address, the nearest one to the right counts.
    """
    hops = [req.env.get("REMOTE_ADDR", "")]
    if trusted_proxies:
        forwarded = req.get_header("X-Forwarded-For", default="").split(",")[-trusted_proxies:]
        hops = [*forwarded, *hops]
    ip, network = next((place for hop in hops if (place := _place(hop))), _NOWHERE)
    agent = req.get_header("User-Agent", default="")[:_MAX_USER_AGENT]
    return Client(ip, network, agent if agent.isprintable() else "".join(filter(str.isprintable, agent)))


@lru_cache(4096)
def _place(hop: str) -> tuple[str, str] | None:
    """The address in a hop, and its network."""
    address = _address(hop)
    if address is None:
        return None
    network = address if address.version == 4 else ip_network((int(address), 64), strict=False)
    return str(address), str(network)


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    text = hop.strip()
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # without a zone
