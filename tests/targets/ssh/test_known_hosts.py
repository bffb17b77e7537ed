"""Pinned host keys: read as OpenSSH reads them, written all or nothing, refused loudly."""

import base64
import shutil
import subprocess
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import HostKeyChanged, HostKeyUnknown
from targets.ssh import SshLink, host_key, known_hosts
from targets.ssh.known_hosts import HostKey
from tests.support.own_sshd import fingerprint, keygen, own_sshd, public

KEY = base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00 " + bytes(32)).decode()
SHOWN = HostKey("ssh-ed25519", base64.b64decode(KEY))


def check(text, tmp_path, name="[192.0.2.5]:2222"):
    (tmp_path / "known").write_text(text)
    known_hosts.check(known_hosts.read([str(tmp_path / "known")]), name, SHOWN, files="known", trust="trust it")


@pytest.fixture(scope="module")
def two_keys(tmp_path_factory):
    """An sshd with an RSA and an Ed25519 host key."""
    with own_sshd(tmp_path_factory.mktemp("two") / "sshd", host_keys=("rsa", "ed25519")) as target:
        yield target


NAMES = st.sampled_from(
    ["pi", "pi5", "PI5", "pi5.lab", "*", "pi?", "!pi5", "*.lab", "!*.lab", "[pi5]:2222", "[pi*]:2222", "[*]:2222", "192.0.2.5", "other"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    patterns=st.lists(NAMES, min_size=1, max_size=3),
    host=st.sampled_from(["pi", "pi5", "pi5.lab", "[pi5]:2222", "192.0.2.5"]),
    hashed=st.booleans(),
)
def test_a_line_means_the_hosts_that_ssh_keygen_says(tmp_path_factory, patterns, host, hashed):
    """The judge is OpenSSH's own reader."""
    file = tmp_path_factory.mktemp("known") / "known"
    file.write_text(f"{','.join(patterns)} ssh-ed25519 {KEY}\n")
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=False, capture_output=True)
    judge = subprocess.run(["ssh-keygen", "-F", host, "-f", file], check=False, capture_output=True).returncode == 0
    ours = any(known_hosts.matches(entry.names, host) for entry in known_hosts.read([str(file)]))
    assert ours == judge, file.read_text()


def test_a_hashed_line_of_a_real_server(sshd, tmp_path):
    known = tmp_path / "known"
    shutil.copy(sshd.known_hosts, known)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    SshLink(msgspec.structs.replace(sshd, known_hosts=str(known))).close()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_the_type_that_is_pinned_is_asked_for(two_keys, tmp_path, kind):
    known = tmp_path / "known"
    lines = two_keys_lines(two_keys)
    known.write_text(lines[kind])
    SshLink(msgspec.structs.replace(two_keys, known_hosts=str(known))).close()


def test_one_of_several_pinned_keys_of_a_type_is_enough(two_keys, tmp_path):
    other = keygen(tmp_path / "other")
    known = tmp_path / "known"
    name = f"[127.0.0.1]:{two_keys.port}"
    known.write_text(f"{name} {public(other)}" + two_keys_lines(two_keys)["ed25519"])
    SshLink(msgspec.structs.replace(two_keys, known_hosts=str(known))).close()


def test_only_another_type_of_key_is_pinned(sshd, tmp_path):
    other = keygen(tmp_path / "other", kind="ecdsa")
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {public(other)}")
    with pytest.raises(HostKeyChanged, match="of a type that is not pinned") as caught:
        SshLink(msgspec.structs.replace(sshd, known_hosts=str(known)))
    assert fingerprint(other) in caught.value.message


def two_keys_lines(target):
    from pathlib import Path

    lines = Path(target.known_hosts).read_text().splitlines(keepends=True)
    return {"rsa": lines[0], "ed25519": lines[1]}


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        ("", HostKeyUnknown, "is unknown"),
        (f"[192.0.2.6]:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "is unknown"),
        (f"192.0.2.5 ssh-ed25519 {KEY}\n", HostKeyUnknown, "is unknown"),  # another port is another host
        (f"[192.0.2.5]:2222 ssh-ed25519 {KEY[:-8]}AAAAAAE=\n", HostKeyChanged, "has CHANGED"),
        (f"[192.0.2.5]:2222 ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}\n", HostKeyChanged, "REVOKED"),
        (f"@revoked * ssh-ed25519 {KEY}\n", HostKeyChanged, "REVOKED"),
        (f"@cert-authority *:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "certificate authority"),
        (f"@cert-authority * ssh-ed25519 {KEY}\n", HostKeyUnknown, "certificate authority"),
        (f"@revokd * ssh-ed25519 {KEY}\n[192.0.2.5]:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "cannot be parsed"),
        (f"@revoked * ssh-ed25519\n[192.0.2.5]:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "cannot be parsed"),
        (f"@revoked * ssh-ed25519 !!!\n[192.0.2.5]:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "cannot be parsed"),
        (f"[192.0.2.5]:2222 ssh-ed25519 {KEY[:40]}!\n", HostKeyUnknown, "is unknown"),
        (f"*,![192.0.2.5]:2222 ssh-ed25519 {KEY}\n", HostKeyUnknown, "is unknown"),
    ],
)
def test_what_is_refused(tmp_path, lines, error, says):
    with pytest.raises(error, match=says) as caught:
        check(lines, tmp_path)
    assert "SHA256:" in caught.value.message or "parsed" in says


@pytest.mark.parametrize(
    "lines",
    [
        f"[192.0.2.5]:2222 ssh-ed25519 {KEY} comment\n",
        f"# comment\n\n   [192.0.2.5]:2222\tssh-ed25519  {KEY}\n",
        f"other,[192.0.2.5]:2222 ssh-ed25519 {KEY}",
        f"1024 35 123\n[192.0.2.*]:2222 ssh-ed25519 {KEY}\n",
        f"@cert-authority * ssh-ed25519 {KEY}\n[192.0.2.5]:2222 ssh-ed25519 {KEY}\n",
        f"@revoked * ssh-ed25519 {KEY[:-8]}AAAAAAE=\n[192.0.2.5]:2222 ssh-ed25519 {KEY}\n",
    ],
)
def test_what_is_accepted(tmp_path, lines):
    check(lines, tmp_path)


@given(st.text(max_size=200))
def test_no_file_breaks_the_reader(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("known") / "known"
    file.write_text(text, errors="replace", newline="")
    try:
        known_hosts.read([str(file)])
    except HostKeyUnknown as error:
        assert str(file) in error.message  # noqa: PT017


def test_pinning_keeps_what_is_there_and_adds_nothing_twice(tmp_path):
    file = tmp_path / "deep" / "known"
    known_hosts.pin(file, "pi", SHOWN)
    file.write_text("# mine\nother ssh-rsa AAAA")  # no newline at its end
    file.chmod(0o600)
    known_hosts.pin(file, "pi", SHOWN)
    known_hosts.pin(file, "pi", SHOWN)
    assert file.read_text() == f"# mine\nother ssh-rsa AAAA\npi ssh-ed25519 {KEY}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(HostKeyChanged, match="another key of pi"):
        known_hosts.pin(file, "pi", HostKey("ssh-ed25519", b"another"))
    assert [path.name for path in file.parent.iterdir()] == ["known"]


def test_pinning_is_all_or_nothing(tmp_path, monkeypatch):
    file = tmp_path / "known"
    file.write_text("# mine\n")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HostKeyUnknown, match="No space"):
        known_hosts.pin(file, "pi", SHOWN)
    assert file.read_text() == "# mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["known"]


def test_pinning_at_the_same_time_loses_no_line(tmp_path):
    file = tmp_path / "known"
    threads = [threading.Thread(target=known_hosts.pin, args=(file, f"pi{n}", SHOWN)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read_text().splitlines()) == 20


def test_the_key_that_is_shown_is_the_one_that_ssh_keygen_shows(two_keys, tmp_path):
    _, key = host_key(two_keys)
    folder = str(two_keys.key).rpartition("/")[0]
    assert key.fingerprint.split()[1] == fingerprint(f"{folder}/host_ed25519")
