"""Jobs against lost links, killed hosts and killed servers: all survive, and each record arrives once and in order."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from device_agent import wire as w
from targets import inventory, open_session
from targets.virtual.loopback import find_sshd, loopback_sshd
from tests.support import faults
from tests.support.processes import eventually, leftovers, processes_with
from tests.support.sessions import MODEL, SHA, launch

pytestmark = pytest.mark.faults

RETURN_LIMIT_S = 2.0  # from the return of the link to the job being followed again
LAUNCHES = 5
# Submits, follows and prints a number for each record, as a run of edgepress does that is killed.
HOST = """
import json, sys
from pathlib import Path
from targets import open_session
from targets.inventory import Target
from device_agent.wire import Launch
from device_agent.record import from_fields
import msgspec
target, launches = json.loads(sys.stdin.read())
with open_session(msgspec.convert(target, Target)) as session:
    job = session.submit(tuple(from_fields(Launch, each) for each in launches), "faults")
    for record in session.follow(job):
        print(record.seq, flush=True)
"""


def job(number):
    """Launches that no other round has, for half a second or more, that say something some thirty times."""
    return tuple(launch(timed_min_ns=10**8, timed_max_runs=500 + number) for _ in range(LAUNCHES))


def check_whole(target, job_id, records):
    """Every record of the job once, in order, as it lies on the board; results of every launch."""
    spooled = [w.decode(line) for line in (Path(target.root) / "jobs" / job_id / "events").read_bytes().splitlines()]
    assert records == spooled[:-1]
    assert spooled[-1] == w.Ended(len(spooled), job_id, w.FINISHED, "")
    results = [record for record in records if not isinstance(record, w.Event)]
    assert [(type(each), each.index) for each in results] == [(w.Launched, index) for index in range(LAUNCHES)]
    assert all(min(each.latency_ns) >= 300_000 for each in results)


class Disturbance(threading.Thread):
    """Does something to the link after `delay_s`; `back` is when the link is there again."""

    def __init__(self, delay_s, act):
        super().__init__()
        self.delay_s, self.act, self.back = delay_s, act, 0.0

    def run(self):
        time.sleep(self.delay_s)
        self.act()
        self.back = time.monotonic()


def followed(target, launches, delay_s, act):
    """Run a job and disturb it; (its number, its records, seconds from the link's return to the next word of the job)."""
    returned = []

    def say(text):
        if text.endswith("is reachable again"):
            returned.append(time.monotonic())

    with open_session(target, say) as session:
        session.put(MODEL, SHA)
        disturbance = Disturbance(delay_s, act)
        job_id = session.submit(launches, "faults")
        disturbance.start()
        records = list(session.follow(job_id))
        disturbance.join()
        late_s = [moment - disturbance.back for moment in returned]
        assert not late_s or max(late_s) < RETURN_LIMIT_S
        check_whole(target, job_id, records)
        session.forget(job_id)
    return late_s


def test_a_job_survives_the_loss_of_the_link(proxied, share):
    target, proxy = proxied
    late_s = []
    for number in range(share(3, 50)):
        source = faults.seeded("link loss", number)
        gone_s = source.choice((0.0, source.uniform(0, 3)))

        def act(gone_s=gone_s):
            proxy.refuse()
            proxy.cut()
            time.sleep(gone_s)
            proxy.resume()

        late_s += followed(target, job(number), source.uniform(0, 1.0), act)
    assert late_s, "no link was lost while a job ran: the test tests nothing"
    faults.told("reattached after the link's return", late_s, "s")
    assert eventually(lambda: not leftovers(target.root))


@pytest.fixture
def mortal_sshd(tmp_path):
    """A server of the test's own, that it may kill: (target, a function that starts it again)."""
    if find_sshd() is None:
        pytest.skip("no sshd on this machine (scripts/debian_packages installs it where it may)")
    started = []
    with loopback_sshd(inventory.find("virtual", Path())) as virtual:
        target = msgspec.structs.replace(virtual, name="pi", kind="ssh", root=str(tmp_path / "edgepress"))

        def start():
            folder = Path(target.key).parent
            started.append(
                subprocess.Popen([find_sshd(), "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")])
            )
            assert eventually(lambda: str(started[-1].pid) == (folder / "sshd.pid").read_text().strip())  # it listens

        yield target, start
        for process in started:
            process.kill()
            process.wait()


def test_a_job_survives_the_kill_of_the_server(mortal_sshd, share):
    target, start = mortal_sshd
    late_s = []
    for number in range(share(3, 50)):
        source = faults.seeded("sshd kill", number)
        gone_s = source.uniform(0, 1)

        def act(gone_s=gone_s):
            faults.kill([*faults.sessions(target), faults.server(target)])
            time.sleep(gone_s)
            start()

        late_s += followed(target, job(number), source.uniform(0, 1.0), act)
    assert late_s, "no link was lost while a job ran: the test tests nothing"
    faults.told("reattached after the server's return", late_s, "s")
    assert eventually(lambda: not leftovers(target.root))


def test_a_job_survives_the_kill_of_its_host(sshd, share):
    with open_session(sshd) as session:
        session.put(MODEL, SHA)
    for number in range(share(3, 50)):
        source = faults.seeded("host kill", number)
        launches = job(number)
        host = subprocess.Popen([sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        host.stdin.write(json.dumps([msgspec.to_builtins(sshd), [each.__dict__ for each in launches]]).encode())
        host.stdin.close()
        assert host.stdout.readline() == b"1\n"
        time.sleep(source.uniform(0, 0.8))
        host.kill()
        host.wait()
        said = []
        with open_session(sshd, said.append) as session:
            job_id = session.submit(launches, "faults")
            assert "continuing with it" in said[0]
            check_whole(sshd, job_id, list(session.follow(job_id)))
            session.forget(job_id)
            assert not session.jobs()
    assert eventually(lambda: not leftovers(sshd.root))


def supervisor(root, job_id):
    return json.loads((Path(root) / "jobs" / job_id / "process.json").read_text())["pid"]


def test_nothing_of_a_job_is_left_after_its_process_was_killed(sshd, share):
    """By anybody who has no reason to be polite. The dead job has no result, and says so."""
    for number in range(share(1, 20)):
        with open_session(sshd) as session:
            session.put(MODEL, SHA)
            job_id = session.submit((launch(timed_min_ns=20 * 10**9, timed_max_runs=10**6 - number),), "faults")
            time.sleep(faults.seeded("supervisor kill", number).uniform(0, 0.5))
            os.kill(supervisor(sshd.root, job_id), 9)
            assert eventually(lambda job_id=job_id: not processes_with(f"jobs/{job_id}"), 5)
            # a killed process is there for a moment more, after its command line is gone
            assert eventually(lambda session=session: session.jobs()[0].state == w.KILLED, 5)
            session.forget(job_id)
    with open_session(sshd):
        assert eventually(lambda: not faults.unfinished(sshd.root))  # the next agent collects
