"""The door to Redis: how we connect, and what counts as away."""

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

__all__ = ["AWAY", "Redis", "connect"]

# Anything that redis-py raises, and what the socket below it does: to us they all mean that Redis is away.
AWAY = (RedisError, OSError)


def connect(url: str, *, timeout: float = 1.0, connections: int = 50, patience: float = 5.0) -> "Redis":
    """A client with a pool; answers are bytes. `timeout` (seconds) bounds connecting and every answer.

    Whoever needs one more connection than there are waits for up to `patience` seconds: a burst is no outage.
    Certificates of `rediss://` are always checked. One retry, so that a restarted server costs no request.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=patience,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=connections,
        retry=Retry(NoBackoff(), 1),
        **({"ssl_cert_reqs": "required"} if url.startswith("rediss:") else {}),
    )
    return Redis.from_pool(pool)
