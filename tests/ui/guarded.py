"""A guarded, shared server that says which routes it has: `python -m tests.ui.guarded WORKSPACE PORT`, until its input ends.

In a process of its own, for Gradio leaves event loops and threads behind.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ME = ("anna", "a pass:word")
TOKEN = "0123456789abcdef0123"
TUNNEL = "shared.gradio.live"


def paths(routes: Any, below: str = "") -> Iterator[str]:
    """The path of every route and of those mounted below it, each parameter filled with its own name."""
    for route in routes:
        path = below + re.sub(r"\{(\w+)(:\w+)?\}", r"\1", getattr(route, "path", ""))
        if path != below:
            yield path
        inner = getattr(route, "original_router", route)  # FastAPI keeps an included router as it is
        yield from paths(getattr(inner, "routes", None) or [], path)


def main(workspace: str, port: str) -> None:
    import gradio
    import httpx

    from ui.server import Settings, build

    lent = Path(workspace).parent / "lent"
    settings = Settings(
        Path(workspace),
        ("cpu",),
        nodes=("tests.graph_runner.toys",),
        credentials=ME,
        token=TOKEN,
        grace=1,
        confined=True,
        lent=(lent,),
    )
    server = build(settings)
    gradio.networking.setup_tunnel = lambda **_: f"https://{TUNNEL}"  # no network in tests
    with contextlib.redirect_stdout(sys.stderr):  # Gradio tells the address, too
        assert server.serve("127.0.0.1", int(port), share=True) == f"https://{TUNNEL}"
    form = httpx.get(f"http://127.0.0.1:{port}/app/form/config", auth=ME, timeout=300)  # a busy machine takes its time
    assert form.status_code == 200, form.text
    panel: Any = server.views._made["form"][1].app
    print(json.dumps(sorted({*paths(server.routes), *paths(panel.routes)})), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
