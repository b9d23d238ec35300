"""Who calls in the name of Schemathesis: for each operation somebody of its own, with a room and messages in it."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx
import schemathesis
from schemathesis.core.parameters import ParameterLocation


@dataclass(frozen=True, slots=True)
class Somebody:
    """A token, and what the names in paths stand for."""

    token: str
    own: dict[str, str]


@schemathesis.auth(retry_on=[401], refresh_interval=3600, cache_by_key=lambda case, _: case.operation.label)
class SignedIn:
    """Whose session an operation has ended comes again as somebody else."""

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> Somebody:
        with httpx.Client(base_url=case.operation.base_url or "") as http:
            number = f"+9198{secrets.randbelow(10**8):08d}"
            self._asked(http, "/auth/signup/", mobile_number=number)
            sent = self._asked(http, "/auth/send-otp/", mobile_number=number)
            proof = {"challenge_id": sent["challenge_id"], "otp": sent["otp"]}
            http.headers["Authorization"] = f"Bearer {self._asked(http, '/auth/verify-otp/', **proof)['access']}"
            room = self._asked(http, "/chatroom/")["id"]
            sent = self._asked(http, f"/chatroom/{room}/message/", content="What is tea?")
            session = http.get("/auth/sessions/").raise_for_status().json()["items"][0]["id"]
        which = "message" if case.path.endswith("/edit/") else "reply"
        own = {"room_id": room, "message_id": sent[which]["id"], "session_id": session, "slug": "not-found"}
        return Somebody(http.headers["Authorization"], own)

    def set(self, case: schemathesis.Case[Any], data: Somebody, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = data.token
        path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
        if path is not None and path.mode.is_positive:
            case.path_parameters.update({name: data.own[name] for name in case.path_parameters if name in data.own})

    @staticmethod
    def _asked(http: httpx.Client, path: str, **body: str) -> dict[str, Any]:
        answer: dict[str, Any] = http.post(path, json=body).raise_for_status().json()
        return answer
