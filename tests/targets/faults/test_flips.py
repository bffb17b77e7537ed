"""Single bits that flip on the way: SSH notices, and the session goes on."""

from pathlib import Path

import pytest

from targets import errors, open_session
from tests.support import faults

pytestmark = pytest.mark.faults

SIZE_BYTES = 1_000_000


def test_on_the_way_there_or_back(proxied, share):
    """Every upload ends, or an error says that it did not; what lies there is never anything but the file."""
    target, proxy = proxied
    ended, lost = 0, []
    for number in range(share(4, 100)):
        source = faults.seeded("in flight", number)
        data = source.randbytes(SIZE_BYTES)
        sha = faults.sha256(data)
        said = []
        with open_session(target, said.append) as session:
            way = source.choice(("up", "up", "down"))
            proxy.corrupt_after(source.randrange(SIZE_BYTES if way == "up" else 100), way)
            try:
                session.put(data, sha)
                assert session.get(sha, len(data)) == data
                ended += bool(said)
            except errors.TargetError as error:
                lost.append(error)
            assert faults.blob(target.root, sha) in (None, data), number
        assert all(error.hint for error in lost)
        with open_session(target) as session:
            session.put(data, sha)
        assert faults.blob(target.root, sha) == data, number
        assert not faults.unfinished(target.root), number
        Path(target.root, "blobs", sha).unlink()
    print(f"{ended} uploads went on after a flip, {len(lost)} ended in an error: {set(map(str, lost))}")
    assert ended, "no flip was noticed: the test tests nothing"
