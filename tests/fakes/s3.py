"""An S3 of our own on loopback: one bucket, every signature checked as AWS describes it (Signature Version 4)."""

import hashlib
import hmac
import threading
from base64 import b64encode
from collections import deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

REGION, ACCESS_KEY, SECRET_KEY = "eu-test-1", "AKIDTHATMUSTNOTBESEEN", "a-secret-that-must-never-be-seen"
BUCKET = "files"
# Names in one page of a list; S3 itself gives 1,000.
PAGE = 3
# What a signature must cover at least.
NEEDED = {"host", "x-amz-date", "x-amz-content-sha256"}
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class FakeS3:
    """Holds `objects` by their keys. `refuse` makes the next requests fail, in order, one each."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self._refusals: deque[tuple[int, str]] = deque()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def refuse(self, *refusals: tuple[int, str]) -> None:
        """A status and S3's code for each of the next requests."""
        self._refusals.extend(refusals)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with self._lock:
            self.requests.append(method)
            if self._refusals:
                return _error(*self._refusals.popleft())
            _, bucket, key = unquote(f"{path}/").rstrip("/").partition(f"/{BUCKET}")
            if not bucket or (key and not key.startswith("/")):
                return _error(404, "NoSuchBucket")
            key = key.lstrip("/")
            if method == "POST":
                return self._delete_many(body)
            if method == "GET" and not key:
                return self._list(query)
            return self._one(method, key, body)

    def _one(self, method: str, key: str, body: bytes) -> tuple[int, bytes]:
        match method:
            case "PUT":
                self.objects[key] = body
                return 200, b""
            case "GET" if key in self.objects:
                return 200, self.objects[key]
            case "DELETE":
                self.objects.pop(key, None)
                return 204, b""
        return _error(404, "NoSuchKey")

    def _delete_many(self, body: bytes) -> tuple[int, bytes]:
        keys = [key.text or "" for key in ET.fromstring(body).iter(f"{NAMESPACE}Key")]
        for key in keys:
            self.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return 200, f"<DeleteResult>{deleted}</DeleteResult>".encode()

    def _list(self, query: dict[str, str]) -> tuple[int, bytes]:
        after, prefix = query.get("continuation-token", ""), query.get("prefix", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page, more = keys[:PAGE], len(keys) > PAGE
        files = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        listed = f"<IsTruncated>{str(more).lower()}</IsTruncated><KeyCount>{len(page)}</KeyCount>{token}{files}"
        return 200, f"<ListBucketResult>{listed}</ListBucketResult>".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], fake: FakeS3) -> None:
        super().__init__(address, _Handler)
        self.fake = fake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is business as usual."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""

    def _serve(self) -> None:
        where = urlsplit(self.path)
        query = dict(parse_qsl(where.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wrong = self._wrong(where.path, query, body)
        status, answer = _error(*wrong) if wrong else self.server.fake.answer(self.command, where.path, query, body)
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _wrong(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, str] | None:
        """What S3 would not take about this request."""
        kind, _, rest = self.headers.get("Authorization", "").partition(" ")
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, *scope = given["Credential"].split("/")
        signed = given["SignedHeaders"].split(";")
        at = datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        checks = {
            "InvalidAccessKeyId": access_key == ACCESS_KEY,
            "AuthorizationHeaderMalformed": kind == "AWS4-HMAC-SHA256" and {*signed} >= NEEDED,
            "RequestTimeTooSkewed": abs(datetime.now(UTC) - at) < timedelta(minutes=15),
            "XAmzContentSHA256Mismatch": self.headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest(),
            "SignatureDoesNotMatch": self._signature(path, query, signed, scope) == given["Signature"],
            "BadDigest": self.command != "POST" or self.headers["content-md5"] == _md5(body),
        }
        return next(((403, code) for code, holds in checks.items() if not holds), None)

    def _signature(self, path: str, query: dict[str, str], signed: list[str], scope: list[str]) -> str:
        asked = "&".join(sorted(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items()))
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in signed)
        parts = (self.command, path, asked, headers, ";".join(signed), self.headers["x-amz-content-sha256"])
        request = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        key = f"AWS4{SECRET_KEY}".encode()
        for part in (scope[0], REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        told = "\n".join(("AWS4-HMAC-SHA256", self.headers["x-amz-date"], "/".join(scope), request))
        return hmac.new(key, told.encode(), "sha256").hexdigest()


def _md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _error(status: int, code: str) -> tuple[int, bytes]:
    quoted = f"<AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId>"
    return status, f"<Error><Code>{code}</Code><Message>No.</Message>{quoted}</Error>".encode()
