"""Where others could change what is run, or nothing could be run from, the root is refused, with the reason."""

import errno
import os
import shutil
import subprocess

import pytest

from device_agent import wire
from device_agent.files.layout import Layout
from device_agent.files.transfer import explained
from tests.support.agent_process import bundle, sha256
from tests.support.bootstrapped import as_root, refusal

OTHER = 12345


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def plant(root, mark):
    """What another user could do who may write there: the name of the agent is public."""
    package = root / "agents" / sha256(bundle()) / "device_agent"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef main(root): pass\n")


def test_below_a_folder_that_others_can_write_to(shared, tmp_path):
    plant(shared / "edge", tmp_path / "mark")
    failed = refusal(shared / "edge")
    assert failed["error"] == "unsafe"
    assert failed["message"].startswith(f"{shared} can be written to by others (mode 777)")
    assert not (tmp_path / "mark").exists()


def test_nothing_is_made_there(shared):
    assert refusal(shared / "deep" / "edge")["error"] == "unsafe"
    assert list(shared.iterdir()) == []


def test_through_a_link(shared, tmp_path):
    (tmp_path / "link").symlink_to(shared)
    assert refusal(tmp_path / "link" / "edge")["error"] == "unsafe"


@pytest.mark.parametrize("name", ["", "agents", "jobs"])
@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
def test_a_folder_of_its_own_that_is_open(start, tmp_path, name, mode):
    start().end()
    (tmp_path / "edge" / name).chmod(mode)
    assert refusal(tmp_path / "edge")["error"] == "unsafe"
    assert (tmp_path / "edge" / name).stat().st_mode & 0o7777 == mode  # not mended without a word
    (tmp_path / "edge" / name).chmod(0o700)
    assert start().boot_word == "HAVE"


def test_where_each_may_remove_only_his_own(start, shared):
    """As in /tmp."""
    shared.chmod(0o1777)
    start(shared / "edge").end()
    assert start(shared / "edge").boot_word == "HAVE"


@as_root
@pytest.mark.parametrize("name", ["", "agents", "blobs", "lock"])
def test_what_belongs_to_another(start, tmp_path, name):
    start().end()
    (tmp_path / "edge" / "lock").touch()
    os.chown(tmp_path / "edge" / name, OTHER, OTHER)
    failed = refusal(tmp_path / "edge")
    assert (failed["error"], f"belongs to the user {OTHER}" in failed["message"]) == ("unsafe", True)


@as_root
def test_an_agent_that_belongs_to_another_is_not_run(start, tmp_path):
    start().end()
    os.chown(tmp_path / "edge" / "agents" / sha256(bundle()), OTHER, OTHER)
    assert start().boot_word == "NEED DAMAGED"


@as_root
def test_below_a_folder_of_another(tmp_path):
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", OTHER, OTHER)
    assert refusal(tmp_path / "home" / "edge")["error"] == "unsafe"


@as_root
def test_the_group_that_a_user_has_for_himself(start, tmp_path):
    """Many systems give each user one, and let it write (umask 002). Another group may have others in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o775)
    start(folder / "edge").end()
    os.chown(folder, 0, OTHER)
    assert refusal(folder / "edge")["error"] == "unsafe"


def test_what_it_makes_is_for_this_user_alone(start, tmp_path):
    before = os.umask(0)
    try:
        agent = start(tmp_path / "deep" / "edge")
    finally:
        os.umask(before)
    agent.store(b"a model")
    for path in [*(tmp_path / "deep").rglob("*"), tmp_path / "deep"]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.fixture
def mounted(tmp_path):
    """mounted(options): a file system of its own; needs root."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
        ).returncode:
            pytest.skip("this machine lets nobody mount a tmpfs")
        return folder

    yield mount
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(("options", "error"), [("noexec,mode=777", "noexec"), ("ro,mode=700", "read_only")])
def test_a_file_system_of_no_use_is_said_before_anything_is_sent(mounted, options, error):
    assert refusal(mounted(options) / "edge")["error"] == error


def test_one_that_has_become_read_only(start, mounted):
    folder = mounted("size=10m,mode=700")
    start(folder / "edge").end()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    assert refusal(folder / "edge")["error"] == "read_only"


@pytest.mark.parametrize("number", [2, 300])
def test_too_few_inodes_for_a_runtime_are_said_before_it_is_sent(mounted, number):
    failed = refusal(mounted(f"size=10m,nr_inodes={number},mode=777") / "edge")
    assert (failed["error"], "inodes are free" in failed["message"]) == ("no_inodes", True)


def test_no_inodes_for_the_agent(mounted):
    folder = mounted("size=10m,nr_inodes=30,mode=700")
    (folder / "edge").mkdir(mode=0o700)
    assert refusal(folder / "edge", bundle())["error"] == "no_inodes"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("ENOSPC", "no_space"),
        ("EDQUOT", "quota"),
        ("EROFS", "read_only"),
        ("EACCES", "not_writable"),
        ("EIO", "internal"),
    ],
)
def test_what_the_kernel_said_of_a_disk(tmp_path, number, kind):
    error = OSError(getattr(errno, number), "words", "/data/edge")
    told = explained(error, Layout(str(tmp_path / "edge")))
    assert (told.error, told.message, told.errno) == (kind, "words: /data/edge", number)


def test_no_inodes_for_a_file(start, mounted):
    folder = mounted("size=30m,nr_inodes=900,mode=700")
    agent = start(folder / "edge")
    for number in range(1000):
        try:
            (folder / str(number)).touch()
        except OSError:
            break
    answer = agent.put(b"one more")
    assert (type(answer), answer.error) == (wire.Failure, "no_inodes")
