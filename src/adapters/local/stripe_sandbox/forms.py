"""Stripe's way of writing requests: form fields whose names are paths, `items[0][price]=price_1`."""

import re
from typing import Any
from urllib.parse import parse_qsl

MAX_FIELDS = 1_000


def decode(text: str) -> dict[str, Any]:
    """The fields as nested dicts and lists. All leaves are strings. Raises `ValueError` for paths that contradict."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS):
        head, *rest = re.findall(r"[^\[\]]+", name) or [name]
        path = [head, *rest, *([""] if name.endswith("[]") else [])]
        _plant(tree, path, value)
    return {name: _listed(branch) for name, branch in tree.items()}


def _plant(tree: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        branch = tree.setdefault(step, {})
        if isinstance(branch, str):
            raise ValueError(f"{step} is both a value and a group")
        tree = branch
    tree[path[-1] or str(len(tree))] = value


def _listed(branch: Any) -> Any:
    """A group whose names are 0, 1, 2 … is a list."""
    if not isinstance(branch, dict):
        return branch
    made = {name: _listed(value) for name, value in branch.items()}
    return list(made.values()) if made and all(name.isdecimal() for name in made) else made
