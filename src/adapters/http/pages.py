"""The few pages that people see in a browser: plain HTML without scripts, one style, sent with a strict policy."""

import base64
import hashlib
from html import escape

import falcon

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2330;--dim:#5d6779;--paper:#fff;--line:#dfe3ea;--tint:#f4f6f9;--mark:#2457c5}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#9aa5b8;--paper:#14171d;--line:#2c323d;--tint:#1c2129;--mark:#8fb1ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:56rem;padding:2.5rem 1.25rem 5rem;color:var(--ink);background:var(--paper);
font:1rem/1.6 system-ui,sans-serif}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:3rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:.95rem;margin:1.25rem 0 .25rem}
p{margin:.5rem 0}a{color:var(--mark)}.dim{color:var(--dim)}
code,pre{font:.875em/1.5 ui-monospace,Menlo,Consolas,monospace}
pre{margin:.5rem 0;padding:.75rem 1rem;overflow-x:auto;background:var(--tint);border-radius:.5rem}
table{width:100%;border-collapse:collapse;font-size:.925rem}
td,th{padding:.4rem .75rem .4rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
nav ul{columns:2;padding-left:1.1rem}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem;padding:0 1rem}
details[open]{padding-bottom:1rem}summary{cursor:pointer;padding:.6rem 0}
.method{display:inline-block;min-width:4.2rem;font-weight:700;color:var(--mark)}
.button{display:inline-block;margin:.75rem 0;padding:.5rem 1.1rem;border-radius:.5rem;background:var(--mark);
color:var(--paper);text-decoration:none}
""".strip()

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def wanted(req: falcon.Request) -> bool:
    """The client is a browser rather than a program: it prefers HTML. JSON wins where both are as welcome."""
    return req.client_prefers((falcon.MEDIA_JSON, falcon.MEDIA_HTML)) == falcon.MEDIA_HTML


def show(resp: falcon.Response, title: str, body: str) -> None:
    """Answer with a page. `title` is plain text; `body` is HTML whose variable parts the caller has escaped."""
    resp.content_type = falcon.MEDIA_HTML
    resp.set_header("Content-Security-Policy", POLICY)
    resp.text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )
