"""Before each launch the board cools down into a band, with a limit on the wait."""

from itertools import pairwise

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support import board_trees
from tests.support.agent_process import LAUNCH, sleep_model

TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"
JOB = "c" * 32


@pytest.fixture
def board(start, tmp_path):
    """An agent that sees a board of 48.3 degrees, and the file that tells them."""
    tree = board_trees.tree("pi5", tmp_path)
    return start(env=board_trees.environment(tree)), tree / TEMPERATURE


def begin(agent, launches: int, cool_ns: int, band_mc: int = 5000, from_mc: int | None = None) -> None:
    launch = replace(LAUNCH, model_sha256=agent.store(sleep_model()))
    answer = agent.ask(wire.Submit(JOB, "tester", 10**12, (launch,) * launches, (), band_mc, cool_ns, from_mc))
    assert isinstance(answer, wire.Accepted), answer
    agent.write(wire.encode(wire.Follow(JOB, 0)))


def until(agent, kind, phase=""):
    while not (isinstance(record := agent.receive(), kind) and (not phase or record.phase == phase)):
        assert isinstance(record, (wire.Event, wire.Working)), record
    return record


def test_it_waits_until_the_board_has_cooled_down(board):
    agent, temperature = board
    begin(agent, 2, 60 * 10**9)
    until(agent, wire.Event, "started")
    temperature.write_text("53400\n")
    assert until(agent, wire.Launched).in_band is True
    event = until(agent, wire.Event, "cooling")
    assert (event.index, event.of) == (1, 60 * 10**9)
    temperature.write_text("53300\n")  # 5 degrees above the beginning
    launched = until(agent, wire.Launched)
    assert (launched.in_band, launched.before.temperature_mc) == (True, 53300)


def test_at_the_limit_it_goes_on_and_says_so(board):
    agent, temperature = board
    begin(agent, 3, 300_000_000)
    until(agent, wire.Event, "started")
    temperature.write_text("60000\n")
    found = [until(agent, wire.Launched) for _ in range(3)]
    assert [each.in_band for each in found] == [True, False, False]
    waited_ns = [later.before.t_ns - earlier.after.t_ns for earlier, later in pairwise(found)]
    assert waited_ns[0] >= 300_000_000  # all launches together: the third does not wait again


def test_a_cancelled_job_does_not_go_on_cooling(board):
    agent, temperature = board
    begin(agent, 2, 600 * 10**9)
    until(agent, wire.Event, "started")
    temperature.write_text("60000\n")
    until(agent, wire.Launched)
    until(agent, wire.Event, "cooling")
    agent.write(wire.encode(wire.Cancel(JOB)))
    while not isinstance(record := agent.receive(), wire.Cancelled):
        assert isinstance(record, (wire.Event, wire.Working, wire.Paused)), record
    assert record.state == wire.CANCELLED


def test_nobody_waits_without_a_limit_or_a_sensor(board, start, tmp_path):
    agent, temperature = board
    begin(agent, 1, 0)
    assert until(agent, wire.Launched).in_band is None
    until(agent, wire.Ended)
    temperature.unlink()
    agent.ask(wire.Forget(JOB))
    begin(agent, 1, 60 * 10**9)
    assert until(agent, wire.Launched).in_band is None


@pytest.mark.parametrize(("band_mc", "cool_ns"), [(-1, 0), (0, -1)])
def test_a_band_that_is_none(agent, band_mc, cool_ns):
    answer = agent.ask(wire.Submit(JOB, "tester", 10**12, (), (), band_mc, cool_ns, None))
    assert isinstance(answer, wire.Failure)
    assert answer.error == "bad_request"


def test_a_job_goes_on_in_the_band_of_an_earlier_one(board):
    """The board has warmed up meanwhile: the new job waits for what the first began with."""
    agent, temperature = board
    temperature.write_text("56000\n")
    begin(agent, 1, 60 * 10**9, from_mc=48300)
    event = until(agent, wire.Event, "cooling")
    assert event.index == 0
    temperature.write_text("53300\n")
    launched = until(agent, wire.Launched)
    assert (launched.in_band, launched.before.temperature_mc) == (True, 53300)
