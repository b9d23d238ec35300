"""Texts through Twilio's Messages resource."""

from adapters.sms.posting import accepted, call, client, post

MESSAGING_SERVICE = "MG"


class Twilio:
    """`OtpSender`. `sender` is a number of ours, or the id of a messaging service (`MG…`)."""

    def __init__(self, account: str, token: str, sender: str, *, base_url: str) -> None:
        self._account = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account}"
        self._auth = (account, token)
        self._from = {"MessagingServiceSid" if sender.startswith(MESSAGING_SERVICE) else "From": sender}
        self._http = client()

    def send(self, number: str, text: str) -> None:
        data = {"To": number, "Body": text, **self._from}
        post(self._http, f"{self._account}/Messages.json", auth=self._auth, data=data)

    def check(self) -> None:
        """The account is there and takes the token; nothing is sent. Raises `SendFailed`."""
        accepted(call(self._http, "GET", f"{self._account}.json", auth=self._auth))
