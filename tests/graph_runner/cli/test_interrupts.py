"""Ctrl-C: the first asks, the second ends."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from graph_runner.cli.interrupts import SIGNALS, stopping


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_tells(number: signal.Signals) -> None:
    stop, told = threading.Event(), threading.Event()
    before = [signal.getsignal(each) for each in SIGNALS]
    with stopping(stop, told.set):
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert told.wait(10)
        # The next one is the system's, which ends the process.
        assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_among_other_processes_later_ones_are_ignored() -> None:
    stop = threading.Event()
    with stopping(stop, lambda: None, together=True):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()


def test_without_a_signal_nothing_happens() -> None:
    stop = threading.Event()
    with stopping(stop, pytest.fail):
        pass
    assert not stop.is_set()


def test_a_child_that_inherited_the_handler_ends_at_once_and_asks_nobody() -> None:
    stop = threading.Event()
    with stopping(stop, lambda: None):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)  # of the terminal's: the parent's matter
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM
    assert not stop.is_set()
