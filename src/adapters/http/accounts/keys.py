"""The public keys of access tokens."""

from falcon import Request, Response

from adapters.http import bodies
from adapters.http.describing import Raw, describe
from gemini_core.core import Core


class Keys:
    """The public keys of access tokens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "The public keys",
        answers={200: Raw("application/jwk-set+json", "A JSON Web Key Set.")},
        problems=("unavailable",),
        signed_in=False,
    )
    def on_get(self, _req: Request, resp: Response) -> None:
        """So that other services can check access tokens themselves."""
        resp.content_type = "application/jwk-set+json"
        resp.set_header("Cache-Control", "public, max-age=60")
        resp.data = bodies.write(self._core.access_tokens.published())
