"""A process that lives with another one."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

CHILD = "import os, time; from graph_runner.base.lifetime import live_with; live_with(os.getppid()); print('begun', flush=True); time.sleep(10**6)"
PARENT = textwrap.dedent("""
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
    print(child.stdout.readline(), flush=True)
    sys.stdin.read()
""")


@pytest.mark.timeout(120)
def test_a_process_ends_once_the_one_that_started_it_is_killed() -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert parent.stdout.readline() == "begun\n"
        parent.kill()
        parent.stderr.read()  # ends once nobody holds it any more: the child has it too
