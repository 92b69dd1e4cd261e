"""What was measured, shown as it is found and again at the end of the tests."""

from __future__ import annotations

import json

measured: list[str] = []
"""The lines shown so far."""


def figures(title: str, **values: object) -> None:
    """Show what was measured, each figure on a line of its own."""
    lines = [title]
    for name, value in values.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"  {name.replace('_', ' ')}: {shown}")
    print("\n" + "\n".join(lines))
    measured.extend(lines)
