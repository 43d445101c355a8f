"""How hard a test tries: a little in CI, much where `./loom test --thorough` asks for it."""

from __future__ import annotations

import os

THOROUGH = bool(os.environ.get("THOROUGH"))


def cases(few: int, many: int) -> int:
    """How many examples, damages, kills or seeds a test tries: `few` in CI, `many` when it is asked to be thorough."""
    return many if THOROUGH else few
