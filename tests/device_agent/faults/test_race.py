"""Many hosts that want the board at the same moment: twenty agents, each over pipes of its own, connected before."""

import fcntl
import os
import random
import re
import select
import signal
import time

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, sleep_model, wait_until
from tests.support.faults import told

pytestmark = pytest.mark.faults

HOSTS = 20
# Nobody waits for the job, which takes 60 s. benchmarks/transport/jobs.py has the figures; here other programs may be at work, too.
TOLD_LIMIT_S = 10.0  # from a host's submit to its answer
FREE_LIMIT_S = 10.0  # from the end of the job to a free board


def answers_of(agents, requests):
    """(answer, seconds from its request) of each agent; all requests go out together."""
    sent, answers = {}, {}
    waiting = {agent.process.stdout: number for number, agent in enumerate(agents)}
    for number, (agent, request) in enumerate(zip(agents, requests, strict=True)):
        agent.write(wire.encode(request))
        sent[number] = time.monotonic()
    while waiting:
        ready = select.select(list(waiting), [], [], 30)[0]
        assert ready, f"{len(waiting)} hosts have no answer"
        for pipe in ready:
            number = waiting.pop(pipe)
            answers[number] = (agents[number].receive(), time.monotonic() - sent[number])
    return [answers[number] for number in range(len(agents))]


def free_after_s(root, began):
    """Seconds until the lock of the board can be had."""
    with (root / "lock").open() as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.001)
                assert time.monotonic() - began < FREE_LIMIT_S
            else:
                return time.monotonic() - began


def test_twenty_hosts_race_for_one_board(start, share):
    agents = [start() for _ in range(HOSTS)]
    launch = replace(LAUNCH, model_sha256=agents[0].store(sleep_model()), timed_min_ns=60 * 10**9, timed_max_runs=10**6)
    answers_of(agents, [wire.Submit("f" * 32, "warm up", 1, (), (), 0, 0, None)] * HOSTS)  # Python reads its modules
    assert agents[0].follow("f" * 32)[-1].state == wire.FINISHED
    won_s, told_s, free_s = [], [], {"cancelled": [], "killed": []}
    for number in range(share(3, 200)):
        order = random.Random(number).sample(range(HOSTS), HOSTS)
        requests = [
            wire.Submit(f"{number:016x}{host:016x}", f"host {host}, plan", 10**12, (launch,), (), 0, 0, None)
            for host in order
        ]
        answers = answers_of([agents[host] for host in order], requests)
        winners = [
            (host, *answer) for host, answer in zip(order, answers, strict=True) if type(answer[0]) is wire.Accepted
        ]
        ((winner, accepted, took_s),) = winners
        won_s.append(took_s)
        for answer, took_s in answers:
            if answer is not accepted:
                assert answer.error == "busy"
                assert re.match(rf"host {winner}, plan has been measuring on this board for \d+ s", answer.message)
                told_s.append(took_s)
        end = "cancelled" if number % 2 else "killed"
        agents[winner].last_job = accepted.job_id
        began = time.monotonic()
        if end == "cancelled":
            assert agents[winner].ask(wire.Cancel(accepted.job_id)).state == wire.CANCELLED
        else:
            os.kill(agents[winner].supervisor(), signal.SIGKILL)
        free_s[end].append(free_after_s(agents[winner].root, began))
        forget = wire.Forget(accepted.job_id)  # a killed process lets go of its files a moment before it is gone
        wait_until(lambda forget=forget: isinstance(agents[0].ask(forget), wire.Forgotten), FREE_LIMIT_S)
    told("the winner was told", won_s, "s")
    told("the losers were told", told_s, "s")
    for end, times in free_s.items():
        told(f"free after the job was {end}", times, "s")
    assert max(told_s) < TOLD_LIMIT_S


def test_the_board_is_free_when_its_job_is_said_to_have_ended(agent, share):
    for _ in range(share(20, 500)):
        assert agent.run()[-1].state == wire.FINISHED  # else it is refused: busy
        agent.ask(wire.Forget(agent.last_job))
