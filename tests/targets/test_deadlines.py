"""The deadline of one request, and what is said meanwhile."""

import threading
import time

import pytest

from targets import deadlines, errors
from targets.deadlines import Wait
from tests.support.processes import eventually


def test_it_has_an_end():
    wait = Wait("pi", "report its state", 60)
    assert 0 < wait.left_s() <= 60
    assert not wait.is_over()
    wait.limit_s = 0.0
    assert wait.is_over()
    with pytest.raises(errors.NoAnswer, match="pi was to report its state, but did not within 0 s"):
        wait.left_s()


def test_whoever_is_blocked_at_its_end_is_woken(monkeypatch):
    monkeypatch.setattr(deadlines, "GRACE_S", 0.05)
    woken = threading.Event()
    with Wait("pi", "take a file", 0.05, give_up=woken.set):
        assert woken.wait(30)


def test_nobody_is_woken_before_nor_after(monkeypatch):
    monkeypatch.setattr(deadlines, "GRACE_S", 0.05)
    woken = threading.Event()
    with Wait("pi", "take a file", 60, give_up=woken.set):
        pass
    with Wait("pi", "take a file", 0.01, give_up=woken.set) as wait:
        wait.hold()  # what came is being used
        assert not woken.wait(0.5)
        wait.news(limit_s=60)
    assert not woken.is_set()


def test_a_line_of_news_again_and_again(monkeypatch):
    monkeypatch.setattr(deadlines, "NEWS_S", (0.1, 0.2))
    said = []
    with Wait("pi", "send a file", 60, said.append) as wait:
        assert eventually(lambda: len(said) >= 3)
        wait.detail = " (2 MB sent so far)"
        assert eventually(lambda: "(2 MB sent so far), since" in said[-1])
    assert said[0].startswith("waiting for pi to send a file, since ")


def test_what_has_come_puts_the_line_off(monkeypatch):
    monkeypatch.setattr(deadlines, "NEWS_S", (3.0, 6.0))
    said = []
    with Wait("pi", "send a file", 60, said.append) as wait:
        for _ in range(35):
            wait.news()
            time.sleep(0.1)
    assert said == []


def test_what_comes_first_does_not_count():
    with Wait("pi", "report its state", 60) as wait:
        began = wait._began
        with wait.paused():
            time.sleep(0.2)
        assert wait._began >= began + 0.2


def test_a_process_that_was_stopped_hears_first_what_has_come():
    """Ctrl-Z: nobody has looked at the clock meanwhile."""
    wait = Wait("pi", "report its state", 60)
    wait._began, wait._looked = wait._began - 100, wait._looked - 100
    assert wait.left_s() > 0


def test_an_agent_that_only_says_that_it_works():
    wait = Wait("pi", "report its state", 60)
    for _ in range(deadlines.MANY):
        wait.working()
    assert "it reported 100 times that it is working, and nothing else" in wait.no_answer().message
    with pytest.raises(
        errors.NotTheAgent, match="pi keeps reporting that it is working, when it is to report its state"
    ):
        wait.working()
