"""Single bits that flip on the board's disk: each is found before the file is used."""

from pathlib import Path

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, frames, sha256, sleep_model, wheel
from tests.support.faults import seeded
from tests.support.fed import fed

pytestmark = pytest.mark.faults


def flip(path, source):
    """One bit anywhere in the file."""
    data = bytearray(path.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def quick_launch(model, inputs=""):
    return replace(
        LAUNCH, model_sha256=model, inputs=fed(inputs), warmup_min_ns=0, timed_min_ns=1, timed_min_runs=1, timed_max_runs=1
    )  # fmt: skip


def test_in_a_model_or_in_its_inputs(agent, share):
    """No number comes of the launches that need it, others of the job go on; and it can be sent again."""
    sound = agent.store(sleep_model(outputs=[1]))
    for number in range(share(6, 300)):
        source = seeded("model", number)
        model, inputs = sleep_model(jitter_us=number), source.randbytes(source.randrange(1, 100_000))
        launches = [quick_launch(agent.store(model), agent.store(inputs)), quick_launch(sound)]
        which = source.choice((model, inputs))
        damaged = agent.root / "blobs" / sha256(which)
        flip(damaged, source)
        answers = agent.run(*launches)
        assert [type(answer) for answer in answers] == [wire.LaunchFailed, wire.Launched, wire.Ended]
        assert answers[0].error == "damaged"
        assert sha256(which) in answers[0].message
        assert not damaged.exists()
        assert agent.ask(wire.Have((sha256(which),), ())) == wire.Present((), ())
        assert agent.store(which) == sha256(which)
        agent.ask(wire.Forget(agent.last_job))


def test_in_a_wheel(agent, share):
    for number in range(share(15, 300)):
        source = seeded("wheel", number)
        data = wheel({"pack/__init__.py": source.randbytes(2000), "pack/number.py": str(number).encode()})
        agent.store(data)
        flip(agent.root / "blobs" / sha256(data), source)
        answer = agent.ask(wire.Unpack("pack-1-py3-none-any.whl", sha256(data)))
        assert (type(answer), answer.error) == (wire.Failure, "bad_wheel"), number
        assert agent.ask(wire.Have((sha256(data),), (sha256(data),))) == wire.Present((), ())


def test_in_an_upload_that_was_cut_off(agent, share):
    """The whole is not taken, nothing of it is kept, and the next try begins anew."""
    for number in range(share(15, 300)):
        source = seeded("partial", number)
        data = source.randbytes(source.randrange(2, 300_000))
        cut = source.randrange(1, len(data))
        put, name = wire.Put(sha256(data), len(data)), sha256(data)
        agent.ask(put)
        agent.write(frames(data[:cut]) + wire.FRAME.pack(wire.END, 0, 0))
        assert agent.receive().error == "bad_upload"
        partial = agent.root / "partial" / name
        flip(partial, source)
        assert agent.ask(put) == wire.Ready(name, cut)
        agent.write(frames(data[cut:]))
        answer = agent.receive()
        assert (type(answer), answer.error) == (wire.Failure, "bad_upload")
        assert not partial.exists()
        assert not (agent.root / "blobs" / name).exists()
        assert agent.store(data) == name
        assert Path(agent.root / "blobs" / name).read_bytes() == data
        (agent.root / "blobs" / name).unlink()
