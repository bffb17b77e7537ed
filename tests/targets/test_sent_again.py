"""What is damaged on a board is never used: it is said, replaced, and the work is done anew."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import flow
from targets import errors, fleet, open_session
from tests.support.agent_process import sha256, wheel
from tests.support.sessions import MODEL, SHA, launch

WHEEL = wheel({"pack/__init__.py": b"answer = 42\n"})
SITE = sha256(WHEEL)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def provided(session):
    """The model and the wheel are there, as deploy makes sure."""
    there = session.have((SHA, SITE), (SITE,))
    if SITE not in there.sites:
        session.put(WHEEL, SITE)
        session.unpack("pack-1-py3-none-any.whl", SITE)
    if SHA not in there.blobs:
        session.put(MODEL, SHA)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: flip(root / "sites" / SITE / "pack" / "__init__.py"), "was damaged on the board's disk"),
        (
            lambda root: (root / "sites" / SITE / "numpy.py").write_text("evil = True"),
            "was damaged on the board's disk",
        ),
        (lambda root: flip(root / "blobs" / SHA), "was damaged on the board's disk"),
        (lambda root: (root / "blobs" / SHA).unlink(), "is not on the board"),
    ],
    ids=["a wheel's file", "a file added to a wheel", "the model", "the model is gone"],
)
def test_a_job_that_lacks_something_ends_and_the_next_one_finds_it_whole(sshd, damage, words):
    with open_session(sshd) as session:
        provided(session)
        damage(Path(sshd.root))
        job_id = session.submit((launch(sites=(SITE,)),) * 2, "test")
        with pytest.raises(errors.DamagedOnBoard, match=words):
            list(session.follow(job_id))
        assert session.jobs() == ()
        provided(session)
        again = session.submit((launch(sites=(SITE,)),) * 2, "test")
        assert again == job_id
        assert [record.seq for record in session.follow(again)]
        session.forget_fetched()


def test_whoever_only_listens_ends_nobodys_job(sshd):
    with open_session(sshd) as session, open_session(sshd) as listener:
        provided(session)
        (Path(sshd.root) / "blobs" / SHA).unlink()
        job_id = session.submit((launch(),), "test")
        (failed,) = (record for record in listener.follow(job_id) if hasattr(record, "error"))
        assert failed.error == "not_found"
        (info,) = listener.jobs()
        assert info.job_id == job_id
        session.forget(job_id)


def test_the_flow_sends_it_again_and_measures_once_more(monkeypatch):
    did, said = [], []

    def measured(now):
        did.append("measure")
        if did.count("measure") == 1:
            raise errors.DamagedOnBoard("pi5: the model was damaged", hint="Run again.")
        raise StopIteration  # far enough

    monkeypatch.setattr(flow, "_measured", measured)
    monkeypatch.setattr(flow, "_deployed", lambda now: did.append("deploy"))
    with pytest.raises(StopIteration):
        flow._measure(SimpleNamespace(progress=SimpleNamespace(say=said.append)))
    assert did == ["measure", "deploy", "measure"]
    assert said == ["pi5: the model was damaged; sending it again"]


def test_a_damaged_agent_is_said_and_replaced(sshd):
    with open_session(sshd) as session:
        folder = Path(sshd.root) / "agents" / session.agent_sha256
    flip(folder / "device_agent/bench/launches.py")
    said = []
    with open_session(sshd, said.append) as session:
        assert session.agent_sent_bytes > 0
    assert said == [
        f"the agent on {session.address} was damaged or changed on its disk: it was not used and has been replaced"
    ]
    flip(folder / "device_agent/bench/launches.py")
    fleet.check(sshd, said.append)
    fleet.check(sshd, said.append)
    assert said == said[:1] * 2


def test_a_root_that_others_can_write_to_is_refused(sshd, tmp_path):
    import msgspec

    tmp_path.chmod(0o777)
    with (
        pytest.raises(
            errors.RootUnusable, match=r"is not safe from other users there: .* can be written to by others"
        ) as caught,
        open_session(msgspec.structs.replace(sshd, root=str(tmp_path / "edge"))),
    ):
        pass
    assert caught.value.exit_code == 4
    assert "chmod go-w" in caught.value.hint
