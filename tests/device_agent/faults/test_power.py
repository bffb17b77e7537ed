"""Power cuts, imitated: the agent works on an ext4 image in a file, and the file is copied at one moment, as the disk is then.

What was acknowledged before that moment is on the copy; what was not is there whole or not at all; and an agent that starts
on the copy goes on from there.
"""

import os
import shutil
import subprocess
import threading
import time

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, PACKAGE, Agent, bundle, sha256, sleep_model, wait_until
from tests.support.faults import seeded

pytestmark = pytest.mark.faults

IMAGE_BYTES = 32 << 20
COPY_TRIES = 100


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """A function that mounts an image, a new one if it is not there; all are unmounted in the end."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a power cut is imitated on a loop image, which needs root and mkfs.ext4")
    folder, mounted = tmp_path_factory.mktemp("power"), []

    def mount(name):
        image, place = folder / f"{name}.img", folder / name
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(IMAGE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"this machine lets nobody mount a loop image: {done.stderr.decode()}")
        mounted.append(place)
        return image, place

    def unmount(place):
        wait_until(
            lambda: subprocess.run(["umount", place], check=False, capture_output=True).returncode == 0
        )  # else busy
        mounted.remove(place)

    yield mount, unmount
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True)


def cut(image, copy):
    """Copy the image as it is at one moment: it has not changed from before the copy until after it."""
    before = image.read_bytes()
    for _ in range(COPY_TRIES):
        after = image.read_bytes()
        if before == after:
            copy.write_bytes(after)
            return
        before = after
    pytest.fail("the image never stands still")


def test_what_was_acknowledged_is_there(disks, share):
    mount, unmount = disks
    cut_at = set()
    for number in range(share(8, 200)):
        source = seeded("power", number)
        image, place = mount("disk")
        copy = image.with_name("copy.img")
        files = [source.randbytes(source.randrange(1, 400_000)) for _ in range(4)]
        stored, ended, step = set(), set(), "before anything"
        random_moment = number % 2 == 0
        # The moment is after one of the acknowledgements, or some time in the work.
        stop_after = source.randrange(7)
        agent = Agent(place / "edge")
        promised = {}

        def at_some_moment(source=source, image=image, copy=copy, promised=promised, stored=stored, ended=ended):
            time.sleep(source.uniform(0, 0.3))
            promised.update(stored=set(stored), ended=set(ended))
            cut(image, copy)

        moment = threading.Thread(target=at_some_moment)
        if random_moment:
            moment.start()
        try:
            for done in range(7):
                if done == stop_after and not random_moment:
                    break
                if done in {2, 5}:
                    step = "a job"
                    agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model()), warmup_min_ns=0, timed_min_ns=1))
                    ended.add(agent.last_job)
                elif done < 6:
                    step = "an upload"
                    stored.add(agent.store(files[{0: 0, 1: 1, 3: 2, 4: 3}[done]]))
            if random_moment:
                moment.join()
                step = "any moment"
            else:
                promised.update(stored=stored, ended=ended)
                cut(image, copy)
        finally:
            agent.kill()
            unmount(place)
        cut_at.add(step)
        image.unlink()
        check(mount("copy")[1] / "edge", [*files, sleep_model()], promised["stored"], promised["ended"], number)
        unmount(copy.with_name("copy"))
        copy.unlink()
    assert len(cut_at) > 2


def check(root, files, stored, ended, number):
    """The disk after the power came back, and an agent that starts there."""
    names = {path.name: path for path in (root / "blobs").iterdir()} if (root / "blobs").exists() else {}
    assert stored <= set(names), number
    for name, path in names.items():
        assert sha256(path.read_bytes()) == name, number
    for agent in (root / "agents").iterdir() if (root / "agents").exists() else ():
        assert agent.name == sha256(bundle())
        for path in PACKAGE.rglob("*.py"):
            assert (agent / "device_agent" / path.relative_to(PACKAGE)).read_bytes() == path.read_bytes(), number
    for job_id in ended:
        last = (root / "jobs" / job_id / "events").read_bytes().splitlines()[-1]
        assert wire.decode(last).state == wire.FINISHED
    agent = Agent(root)
    try:
        if stored or ended:
            assert agent.boot_word == "HAVE", number
        assert ended <= {job.job_id for job in agent.ask(wire.Jobs()).jobs if job.state == wire.FINISHED}
        for data in files:
            answer = agent.put(data)
            if isinstance(answer, wire.Failure):  # what lay in partial/ had not reached the disk; it is gone now
                assert answer.error == "bad_upload"
                answer = agent.put(data)
            assert answer == wire.Stored(sha256(data)), number
            assert agent.get(sha256(data)) == data
        assert not list((root / "tmp").iterdir())
        assert not list((root / "partial").iterdir())
        assert agent.run()[-1].state == wire.FINISHED
    finally:
        agent.end()


def test_the_copy_is_like_a_power_cut(disks):
    """The check above can fail: a file that was renamed and not synced is not on the copy."""
    mount, unmount = disks
    image, place = mount("unsynced")
    (place / "file.new").write_bytes(b"x" * 100_000)
    (place / "file.new").rename(place / "file")
    copy = image.with_name("unsynced-copy.img")
    cut(image, copy)
    unmount(place)
    _, place = mount("unsynced-copy")
    there = (place / "file").exists()
    unmount(place)
    assert not there
