"""Jobs that are listed, forgotten and collected."""

import os
import shutil
from pathlib import Path

from device_agent import wire
from device_agent.files.layout import locked
from device_agent.jobs import requests
from tests.support.agent_inside import ID, job_id, made_job, process_of, refused
from tests.support.agent_process import names


def test_listed_by_age_whatever_the_times_of_the_files(place, process):
    for number, age_ns in ((1, 5 * 10**9), (2, 10**9), (3, 9 * 10**9)):
        made_job(place, number, wire.FINISHED, process=process_of(process.pid, age_ns))
    for number in (4, 5):
        made_job(place, number, wire.FINISHED, process=process_of(process.pid, boot="another"))
        os.utime(place.job(job_id(number)), (10**9 + number, 10**9 + number))
    os.utime(place.job(job_id(3)), (10**10, 10**10))
    infos = requests.listed(place).jobs
    assert [info.job_id for info in infos] == [job_id(number) for number in (4, 5, 3, 1, 2)]
    assert [info.age_ns is None for info in infos] == [True, True, False, False, False]


def test_one_that_cannot_be_read_is_told_and_left_out(place, capsys):
    made_job(place, 1, wire.FINISHED)
    Path(made_job(place, 2).folder, "submit").write_bytes(b"{}\n")
    assert [info.job_id for info in requests.listed(place).jobs] == [ID]
    said = f"edgepress: the job {job_id(2)} cannot be read: unknown kind of record: None\n"
    assert capsys.readouterr() == ("", said)


def test_one_that_another_agent_removes_meanwhile(place, monkeypatch):
    for number in range(12):
        made_job(place, number, wire.FINISHED)
    newest_first = requests._newest_first

    def then_one_goes(place):
        found = newest_first(place)
        shutil.rmtree(found[10].folder)
        return found

    monkeypatch.setattr(requests, "_newest_first", then_one_goes)
    assert len(requests.listed(place).jobs) == 11
    requests._collect(place)
    assert len(names(Path(place.root, "jobs"))) == requests.KEPT


def test_the_newest_are_kept_and_those_that_run(place, process):
    for number in range(11):
        state = "" if number == 9 else wire.FINISHED
        made_job(place, number, state, process=process_of(process.pid, number * 10**9))
    requests._collect(place)
    assert names(Path(place.root, "jobs")) == [job_id(number) for number in (0, 1, 2, 3, 4, 5, 6, 7, 9)]
    assert names(Path(place.tmp)) == []


def test_forget(place, process):
    made_job(place, 1, wire.FINISHED)
    (Path(place.tmp, "job-" + ID) / "left").mkdir(parents=True)  # by an agent that was killed here
    for _ in range(2):
        assert requests.forget(place, wire.Forget(ID)) == wire.Forgotten(ID)
    assert names(Path(place.root, "jobs")) == names(Path(place.tmp)) == []
    requests._remove(place, place.job(ID))  # another agent was quicker
    made_job(place, 1, process=process_of(process.pid))
    assert refused(requests.forget, place, wire.Forget(ID)) == ("busy", f"the job {ID} is running", "")
    assert names(Path(place.root, "jobs")) == [ID]


def test_forget_one_of_another_version(place):
    job = made_job(place, 1, wire.FINISHED)
    Path(job.folder, "submit").write_bytes(b"{}\n")
    with locked(job.folder):
        assert refused(requests.forget, place, wire.Forget(ID)) == ("busy", f"the job {ID} is running", "")
    assert requests.forget(place, wire.Forget(ID)) == wire.Forgotten(ID)
    assert names(Path(place.root, "jobs")) == []
