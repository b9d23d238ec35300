"""A service that wants to know what happened: it checks who posts, keeps what it heard, and can be made to fail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any

from standardwebhooks import Webhook

KEYS = (b"n" * 24, b"o" * 24)
SECRETS = ("whsec_" + "bm5u" * 8, "whsec_" + "b29v" * 8)


@dataclass(frozen=True)
class Post:
    """One POST; `told` is its body, after somebody else's library has checked the signature with either key."""

    headers: dict[str, str]
    body: bytes
    told: dict[str, Any]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(self.told["type"])


@dataclass
class Receiver:
    """`answers` are given one by one, then 204: a status, or a status with a `Retry-After`; 0: none, ever."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[int | tuple[int, str]] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)
    closing: Event = field(default_factory=Event)

    def hear(self, post: Post) -> int | tuple[int, str]:
        with self.changed:
            self.posts.append(post)
            self.changed.notify_all()
            return self.answers.pop(0) if self.answers else 204

    def wait(self, found: Callable[[Post], bool], *, times: int = 1, within: float = 30.0) -> list[Post]:
        """As soon as there are so many of these."""

        def there() -> bool:
            return sum(found(post) for post in self.posts) >= times

        with self.changed:
            assert self.changed.wait_for(there, within), [post.told for post in self.posts]
            return [post for post in self.posts if found(post)]


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """On loopback, until the block ends; then nobody answers there."""
    heard = Receiver()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            told = [Webhook(key).verify(body, headers) for key in KEYS]
            answer = heard.hear(Post(headers, body, told[0]))
            status, wait = answer if isinstance(answer, tuple) else (answer, "")
            if not status:
                heard.closing.wait()
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if wait:
                self.send_header("Retry-After", wait)
            if status in {301, 302, 307, 308}:
                self.send_header("Location", heard.url)
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(405)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Answering) as server:
        heard.url = f"http://127.0.0.1:{server.server_port}/events/?token=only-for-us"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield heard
        finally:
            heard.closing.set()
            server.shutdown()
            thread.join()
