"""A launch reads what was hashed; what is written into its file meanwhile is told, and nothing else is taken for that."""

import io
import os

import pytest

from device_agent import wire
from device_agent.files.layout import Layout
from device_agent.files.verified import VerifiedBlobs
from device_agent.record import replace
from pipeline.measure.summary import summarise
from pipeline.measure.validity import Expected, doubts_of
from tests.support.agent_pairs import pair, side
from tests.support.agent_process import LAUNCH, sha256, sleep_model
from tests.support.fed import fed

MODEL, OTHER = sleep_model(latency_us=500, prints=""), sleep_model(latency_us=900, prints="")


@pytest.fixture
def running(agent):
    """Begin a job of two launches; the agent, in the timed part of the first."""
    # the first lasts until this test has written, also where the machine is busy
    first = replace(LAUNCH, model_sha256=agent.store(MODEL), timed_min_ns=1_500_000_000, timed_max_runs=10_000)
    agent.start(first, replace(first, timed_min_ns=20_000_000))
    until_timed(agent)
    return agent


def until_timed(agent):
    while not (isinstance(record := agent.receive(), wire.Event) and record.phase == "timed"):
        pass


def rest(agent):
    found = []
    while not isinstance(record := agent.receive(), wire.Ended):
        if not isinstance(record, (wire.Event, wire.Working)):
            found.append(record)
    return found


def blob(agent):
    return agent.root / "blobs" / sha256(MODEL)


def write(path, data):
    with path.open("r+b") as file:
        file.write(data)


def names(launched, wanted=MODEL):
    found = doubts_of([launched] * 6, summarise([launched.latency_ns] * 6), Expected(model_sha256=sha256(wanted)))
    return [doubt.what for doubt in found if doubt.invalid]


def test_a_file_that_nobody_touched(running):
    first, second = rest(running)
    assert (first.model_sha256, first.inputs_sha256) == (sha256(MODEL), ())
    assert names(first) == names(second) == []


def test_a_file_that_is_overwritten_meanwhile(running):
    """Of the same size, as one model of an architecture and another."""
    write(blob(running), OTHER)
    first, second = rest(running)
    assert first.model_sha256 == sha256(OTHER)
    assert names(first) == ["another file"]
    assert (second.error, second.phase) == ("damaged", "started")
    assert not blob(running).exists()


def test_a_file_that_is_overwritten_and_put_back(running):
    write(blob(running), OTHER)
    write(blob(running), MODEL)
    first, second = rest(running)
    assert first.model_sha256 == ""
    assert names(first) == ["another file"]
    assert names(second) == []  # when it began, the file was sound


def test_a_file_that_is_replaced_is_not_the_one_that_runs(running):
    new = running.root / "new"
    new.write_bytes(OTHER)
    new.rename(blob(running))
    first, second = rest(running)
    assert names(first) == names(second) == []
    assert max(min(each.latency_ns) for each in (first, second)) < 900_000  # the other one takes at least that


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.chmod(0o640),
        lambda path: os.link(path, path.with_name("backup")),
        lambda path: path.read_bytes(),
        lambda path: path.unlink(),  # another job's own affair
    ],
)
def test_what_does_not_change_the_content_is_nothing(running, touch):
    touch(blob(running))
    first, second = rest(running)
    assert names(first) == names(second) == []


def test_the_inputs_of_a_pair(agent):
    numpy = pytest.importorskip("numpy")
    rows = io.BytesIO()
    numpy.save(rows, numpy.zeros((2, 4), "float32"))
    model, inputs = agent.store(MODEL), agent.store(rows.getvalue())
    launch = replace(side(model), inputs=fed(inputs))
    # it lasts until this test has written, as above
    agent.start(pair(launch, launch, cycles=("ABBA",) * 8, block_min_ns=60_000_000, block_max_runs=1000))
    until_timed(agent)
    changed = rows.getvalue()[:-1] + b"\1"
    write(agent.root / "blobs" / inputs, changed)
    (paired,) = rest(agent)
    assert (paired.a.model_sha256, paired.b.model_sha256) == (model, model)
    assert (paired.a.inputs_sha256, paired.b.inputs_sha256) == ((sha256(changed),), (sha256(changed),))


def test_times_as_coarse_as_those_of_fat(tmp_path):
    """Whole seconds, and the same for every write: what cannot be told is not claimed, and nothing is claimed of a sound file."""
    place = Layout(str(tmp_path))
    path = tmp_path / "blobs" / sha256(MODEL)
    path.write_bytes(MODEL)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    contents = VerifiedBlobs(place)
    contents.open(path.name)
    assert contents.is_sound(path.name) is True
    os.utime(path, (1_700_000_000, 1_700_000_000))  # the time of its change is another one now
    assert contents.found(path.name) == sha256(MODEL)
    write(path, OTHER)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert contents.found(path.name) == sha256(OTHER)  # by the time of its change, which nobody can set
    assert contents.is_sound(path.name) is False
    assert not path.exists()
    assert contents.is_sound(sha256(OTHER)) is None
