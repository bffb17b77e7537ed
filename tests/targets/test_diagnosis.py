"""What is started on the board is no agent: its own last words are shown, and a hint only where they support one."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec
import pytest

from device_agent import wire
from targets import diagnosis, failures, open_session
from targets.conversation import Conversation
from targets.errors import AgentFailed, ConnectionLost, DiskFull, NoAnswer, NoPython, RootUnusable, TargetError
from targets.local import LocalLink
from targets.session import Session
from tests.support.own_sshd import own_sshd

LIBRARY = "python3: error while loading shared libraries: libpython3.9.so.1.0: cannot open shared object file: No such file or directory"


@pytest.fixture(scope="module")
def open_folder():
    """One that every user can look into."""
    folder = Path(tempfile.mkdtemp(prefix="edge-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own(open_folder):
    with own_sshd(open_folder / "sshd", "UsePAM yes") as target:
        yield target


@pytest.fixture
def account():
    """account(shell) -> the name of a new user of this machine."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("making a user needs root")
    with contextlib.ExitStack() as stack:

        def make(shell="/bin/sh"):
            name = f"edge-test-{secrets.token_hex(4)}"
            subprocess.run(["useradd", "-m", "-s", shell, "-p", "*", name], check=True, capture_output=True)
            stack.callback(subprocess.run, ["userdel", "-rf", name], check=False, capture_output=True)
            return name

        yield make


def script(folder, text, mode=0o755):
    path = folder / f"python-{secrets.token_hex(4)}"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


def refused(target, error=AgentFailed):
    with pytest.raises(error) as caught, open_session(target):
        pass
    return caught.value


# --- over a real sshd


@pytest.mark.parametrize(
    ("text", "says", "hints"),
    [
        (f"echo '{LIBRARY}' >&2; exit 127", "libpython3.9.so.1.0", "has no libpython3.9.so.1.0: install the package"),
        ("kill -ILL $$", "was killed by SIGILL", "instructions that this processor does not have"),
        ("kill -SEGV $$", "was killed by SIGSEGV", "crashes at start"),
        ("kill -KILL $$", "was killed by SIGKILL", "when memory runs out"),
        ("kill -BUS $$", "was killed by a signal that sshd does not name", "dmesg on the board"),  # it was: the connection ended
        ("kill -SYS $$", "was killed by a signal that sshd does not name", "SIGSYS"),
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo: a password is required", "NOPASSWD"),
        ("echo 'sudo: no tty present and no askpass program specified' >&2; exit 1", "no tty present", "NOPASSWD"),
        ("echo 'pi is not in the sudoers file.' >&2; exit 1", "sudoers", "NOPASSWD"),
        ("echo \"rbash: /usr/bin/python3: restricted: cannot specify '/' in command names\" >&2; exit 127", "restricted", "chsh"),
        ("echo 'OSError: [Errno 24] Too many open files' >&2; exit 1", "Too many open files", "ulimit -n"),
        ("echo 'Stale file handle' >&2; exit 126", "Stale file handle", "network file system"),
        ("exit 132", "was killed by SIGILL", "instructions"),  # of a shell that stays between
        ("echo 'usage: thing [-v]'; exit 2", "usage: thing [-v]", "Log in there and try"),
        ("exit 3", "ended with exit code 3; it said nothing", "Log in there and try"),
        ("echo \"AttributeError: type object 'str' has no attribute 'fromhex'\" >&2; exit 1", "fromhex", "older than 3.8"),
        ("echo \"ModuleNotFoundError: No module named 'encodings'\" >&2; exit 1", "encodings", "does not find its own library"),
        ("echo \"ModuleNotFoundError: No module named 'fcntl'\" >&2; exit 1", "fcntl", "lacks fcntl of the standard library"),
        ("echo MemoryError >&2; exit 1", "MemoryError", "ran out of memory"),
        ("printf 'a\\033[31mb\\033]0;title\\007\\001c\\n' >&2; exit 1", "it said: ab c", "Log in there and try"),
    ],
)  # fmt: skip
def test_what_was_started_said(own, open_folder, text, says, hints):
    error = refused(msgspec.structs.replace(own, python=script(open_folder, text)))
    assert says in error.message
    assert "no agent answered on" in error.message
    assert hints in error.hint


def test_no_such_program(own):
    error = refused(msgspec.structs.replace(own, python="python-9"), NoPython)
    assert "there is no python-9 on" in error.message
    assert "Install Python 3.8 or newer" in error.hint


def test_a_file_that_may_not_be_run(own, open_folder):
    error = refused(msgspec.structs.replace(own, python=script(open_folder, "", 0o644)))
    assert "exit code 126" in error.message
    assert "Permission denied" in error.message
    assert "chmod +x" in error.hint


def test_a_folder_and_a_file_of_another_processor(own, open_folder):
    assert "names a folder" in refused(msgspec.structs.replace(own, python=str(open_folder))).hint
    foreign = open_folder / "foreign"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\x7f" + bytes(100))
    foreign.chmod(0o755)
    assert "not a program for this processor" in refused(msgspec.structs.replace(own, python=str(foreign))).hint


def test_an_account_without_a_shell(own, account):
    user = account(shutil.which("nologin") or "/usr/sbin/nologin")
    error = refused(msgspec.structs.replace(own, user=user))
    assert "This account is currently not available." in error.message
    assert "nologin" in error.hint


def test_a_password_that_has_expired(own, account):
    user = account()
    subprocess.run(["usermod", "-p", "$6$x$y", user], check=True, capture_output=True)
    subprocess.run(["chage", "-d", "0", user], check=True)
    error = refused(msgspec.structs.replace(own, user=user), TargetError)
    assert "expired" in error.message
    assert "set a new password" in error.hint


def test_a_forced_command(open_folder):
    with own_sshd(open_folder / "forced", "ForceCommand /bin/echo This account may only back up.") as target:
        error = refused(target)
        assert "it said: This account may only back up." in error.message
        assert "ForceCommand" in error.hint
    with own_sshd(open_folder / "sftp", "Subsystem sftp internal-sftp", "ForceCommand internal-sftp") as target:
        assert "only file transfer" in refused(target).hint


def test_a_python_in_the_home_folder_of_the_board(own, account):
    user = account()
    home = Path(f"~{user}").expanduser()
    folder = home / "my venv/bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to("/usr/bin/python3")
    for shell in filter(None, map(shutil.which, ("sh", "bash", "zsh", "csh", "tcsh", "fish", "busybox"))):
        if Path(shell).name != "busybox":
            subprocess.run(["usermod", "-s", shell, user], check=True, capture_output=True)
        for python in ("~/my venv/bin/python", f"~{user}/my venv/bin/python"):
            with open_session(msgspec.structs.replace(own, user=user, python=python)) as session:
                assert session.machine.python
    error = refused(msgspec.structs.replace(own, user=user, python="~/none/python"), NoPython)
    assert "there is no ~/none/python on" in error.message


# --- without one


class Scripted(LocalLink):
    """This machine, where another program takes the agent's place."""

    def __init__(self, path):
        self.path = path

    def start(self, argv):
        return super().start([self.path])


def test_what_was_printed_before_an_early_end_is_shown(tmp_path):
    """Also where the program ended before it was told anything."""
    for _ in range(5):
        with pytest.raises(AgentFailed, match="it said: out / err"):
            Session(lambda _: Scripted(script(tmp_path, "exec 0<&-; echo out; echo err >&2; exit 1")), "python3", "/x")


def test_a_program_of_this_machine_that_is_not_there():
    with pytest.raises(NoPython, match="cannot be started on this machine: No such file"):
        Session(lambda _: LocalLink(), "/no/such/python", "/x")


def test_an_agent_that_ends_in_the_middle_says_how(tmp_path):
    path = script(
        tmp_path, "read line; echo; echo '--edgepress-boot-1-- HAVE'; sleep 0.2; echo oops >&2; kill -SEGV $$"
    )
    with pytest.raises(ConnectionLost, match="was killed by SIGSEGV unexpectedly; it said: oops"):
        Conversation(Scripted(path), "python3", "/x")


@pytest.mark.parametrize(
    ("kind", "message", "error", "says", "hints"),
    [
        ("no_space", "[Errno 28] No space left on device", DiskFull, "is full", "df -h"),
        ("no_inodes", "[Errno 28] No space left on device", DiskFull, "out of inodes", "df -i"),
        ("quota", "[Errno 122] Disk quota exceeded", DiskFull, "quota", "raised"),
        ("read_only", "[Errno 30] Read-only file system", RootUnusable, "read-only", "another `root`"),
        ("noexec", "/mnt/x", RootUnusable, "noexec", "another `root`"),
        ("unsafe", "/srv is open", RootUnusable, "not safe", "chmod go-w"),
        ("not_writable", "[Errno 13] Permission denied: '/x'", AgentFailed, "cannot be written", "must be writable"),
        ("not_writable", "[Errno 20] Not a directory: '/x'", AgentFailed, "cannot be written", "Something else is in the place"),
        ("old_python", "this is 3.6", NoPython, "this is 3.6", "newer one"),
        ("internal", "[Errno 5] Input/output error", AgentFailed, "(internal)", "has errors"),
        ("internal", "KeyError", AgentFailed, "(internal)", "report it"),
        ("of the future", "?", AgentFailed, "(of the future)", "report it"),
    ],
)  # fmt: skip
def test_each_kind_of_failure_has_its_own_words(kind, message, error, says, hints):
    found = failures.of_boot("pi", f'{{"error": "{kind}", "message": "{message}"}}'.encode())
    assert type(found) is error
    assert says in found.message
    assert message in found.message
    assert hints in found.hint
    assert failures.of_record("pi", wire.Failure(kind, message, "")).message == found.message


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"error": 3}', b"\xff" * 9000, b"[" * 9000])
def test_a_failure_that_can_not_be_read(text):
    assert len(failures.of_boot("pi", text).message) < 1000


def test_last_words_are_short_and_command_nothing():
    words = diagnosis.last_words(b"\x1b[2J" + b"x" * 10**6 + b"\nlast\x07", "err \u202e" * 1000)
    assert len(words) <= diagnosis.TEXT_CHARACTERS
    assert words.isprintable()
    assert diagnosis.condensed("a" * 5000 + "\nthe cause").endswith("the cause")


def test_our_own_text_is_not_shown_back():
    """Perl in place of Python tells where in it its syntax ends."""
    assert diagnosis.last_words("syntax error near '" + "0123456789abcdef" * 100 + "'") == "syntax error near '...'"
    assert diagnosis.last_words("no blob " + "a" * 64) == "no blob " + "a" * 64


def test_no_home_folder_becomes_a_word_of_the_shell():
    from targets.ssh.command import command_line

    for python in ("~$(id)/x", "~`id`/x", "~a b/x", "~;id/x", "a~/x", "~"):
        assert command_line([python, "-c", "x y"]).startswith("'")
    assert command_line(["~pi/my $x/python", "-c", "x y"]) == "~pi/'my $x/python' -c 'x y'"


def test_a_program_that_waits_is_shown_with_what_it_asks(tmp_path, monkeypatch):
    monkeypatch.setattr("targets.deadlines.START_S", 1.5)
    path = script(tmp_path, "echo '1) shell  2) menu'; exec sleep 60")
    with pytest.raises(NoAnswer, match=r"did not within 2 s; it said: 1\) shell 2\) menu"):
        Conversation(Scripted(path), "python3", "/x")
