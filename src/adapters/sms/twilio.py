"""Texts through Twilio's Messages resource."""

from adapters.sms.posting import client, post

MESSAGING_SERVICE = "MG"


class Twilio:
    """`OtpSender`. `sender` is a number of ours, or the id of a messaging service (`MG…`)."""

    def __init__(self, account: str, token: str, sender: str, *, base_url: str) -> None:
        self._url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        self._auth = (account, token)
        self._from = {"MessagingServiceSid" if sender.startswith(MESSAGING_SERVICE) else "From": sender}
        self._http = client()

    def send(self, number: str, text: str) -> None:
        post(self._http, self._url, auth=self._auth, data={"To": number, "Body": text, **self._from})
