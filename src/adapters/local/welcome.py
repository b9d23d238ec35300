"""What `gemini-backend dev` tells when everything runs."""

from collections.abc import Mapping
from pathlib import Path

TEXT = """
Ready after {took:.1f} s. Ctrl-C stops everything.

  API         {api}  (described at {api}/docs/)
  PostgreSQL  {database}
  Valkey      {redis}
  Model       {model}
  Codes       {codes}
  Payments    {payments}

Try it: the code is in the second answer, the access token in the third, the room's id in the fourth.

  curl {api}/auth/signup/ --json '{{"mobile_number": "+919876543210", "name": "Asha"}}'
  curl {api}/auth/send-otp/ --json '{{"mobile_number": "+919876543210"}}'
  curl {api}/auth/verify-otp/ --json '{{"mobile_number": "+919876543210", "otp": "CODE"}}'
  curl {api}/chatroom/ --json '{{"title": "First words"}}' -H 'Authorization: Bearer ACCESS'
  curl {api}/chatroom/ROOM/message/ --json '{{"content": "Hello!"}}' -H 'Authorization: Bearer ACCESS' \\
      -H 'Accept: text/event-stream' -N
"""


def welcome(api: str, home: Path, made: Mapping[str, str], *, model: str, codes: str, took: float) -> str:
    """`made`: the variables of the stand-ins that run; `took`: seconds."""
    return TEXT.format(
        api=api,
        took=took,
        database=f"embedded, data in {home / 'postgres'}" if "DATABASE_URL" in made else "of DATABASE_URL",
        redis=f"embedded, data in {home / 'valkey'}" if "REDIS_URL" in made else "of REDIS_URL",
        model=model,
        codes=codes,
        payments=f"sandbox at {made['STRIPE_BASE_URL']}/ (no money moves)" if "STRIPE_BASE_URL" in made else "Stripe",
    )
