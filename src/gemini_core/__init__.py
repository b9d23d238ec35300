"""The core of a chat backend for Gemini: accounts, chat, billing and jobs, in the standard library alone.

`build(ports, policy)` makes a `Core`; every verb is one of its fields.
"""

from gemini_core.core import Core, Policy, Ports, build

__all__ = ["Core", "Policy", "Ports", "build"]
