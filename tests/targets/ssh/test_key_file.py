"""A key file that cannot be used is named for what it is, before anybody is connected to; nothing in a file is a traceback."""

import base64
import contextlib
import os
import shlex
import struct
import subprocess
from pathlib import Path

import paramiko
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import AuthenticationRefused
from targets.inventory import Target
from targets.ssh import SshLink, key_file, passwords
from targets.ssh.passwords import Secret
from tests.support.commands import edgepress
from tests.support.own_sshd import free_port, keygen, public
from tests.targets.ssh.packed import SK, text


def openssh(kind, fields, options=b""):
    """A key file in OpenSSH's own form, with this type of key; its private half is of no use."""
    head = text(b"none") + text(b"bcrypt" if options else b"none") + text(options) + struct.pack(">I", 1)
    data = b"openssh-key-v1\0" + head + text(text(kind) + fields) + text(bytes(64))
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(data) + b"-----END OPENSSH PRIVATE KEY-----\n"


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"openssl cannot: {done.stderr[-200:]}")
    return done.stdout


def ed448():
    return openssl("genpkey", "-algorithm", "ed448")


def pkcs8():
    return openssl("genpkey", "-algorithm", "ed25519")


CERTIFICATE = b"ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAx me"
KEYS = {
    "a token's": (lambda: openssh(SK, text(bytes(32)) + text(b"ssh:")), f"({SK.decode()})", "ssh_agent = true"),
    "another token's": (lambda: openssh(b"sk-ecdsa-sha2-nistp256@openssh.com", text(b"x")), "(sk-ecdsa-", "ssh-add"),
    "DSA, OpenSSH's form": (lambda: openssh(b"ssh-dss", text(b"x")), "(ssh-dss)", "ssh-keygen -t ed25519"),
    "DSA": (lambda: b"-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", "(DSA)", "ssh-keygen -t"),
    "Ed448": (ed448, "(Ed448)", "ssh-keygen -t ed25519"),
    "PKCS#8": (pkcs8, "(PKCS#8)", "ssh-keygen -p -f"),
    "PuTTY's": (lambda: b"PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n", ".ppk", "puttygen"),
    "a .pub": (lambda: b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me@here\n", "public half of a key (ssh-ed25519)", "without .pub"),
    "a .pub of ssh.com": (lambda: b"---- BEGIN SSH2 PUBLIC KEY ----\n", "public half", "without .pub"),
    "a .pub in PEM": (lambda: b"-----BEGIN RSA PUBLIC KEY-----\n", "public half", "without .pub"),
    "a certificate": (lambda: CERTIFICATE, "a certificate (ssh-ed25519-cert-v01@openssh.com)", "-cert.pub"),
    "X.509": (lambda: b"-----BEGIN CERTIFICATE-----\n", "X.509", "ssh-keygen -t"),
    "nothing": (lambda: b" \n", "is empty", "private key"),
    "garbage": (lambda: b"\x00\xff" * 99, "is not a private key", "as `key`"),
    "half a key": (lambda: openssh(b"ssh-ed25519", text(b"x"))[:120], "is not a private key", "ssh-keygen"),
    "a long wait": (lambda: openssh(b"ssh-ed25519", b"", text(b"salt") + b"\xff" * 4), "4294967295 rounds", "ssh-keygen -p"),
    "a broken seal": (lambda: b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,ACDECD488D\n\n4pU+\n", "is damaged", "Copy it again from its source"),
}  # fmt: skip


def refused(path, secret=None):
    with pytest.raises(AuthenticationRefused) as caught:
        key_file.load(str(path), None, secret)
    return caught.value


@pytest.mark.parametrize("name", KEYS)
def test_a_file_that_is_no_usable_key(tmp_path, monkeypatch, capfd, name):
    make, says, hints = KEYS[name]
    path = tmp_path / "my key"
    path.write_bytes(make())
    path.chmod(0o600)
    monkeypatch.setenv("PASSPHRASE", "x")
    for secret in (None, Secret("p", "PASSPHRASE")):
        if secret and name in {"Ed448", "PKCS#8"}:
            continue  # they have no passphrase, which is said first
        error = refused(path, secret)
        assert says in error.message
        assert str(path) in error.message
        assert hints in error.hint
    assert shlex.quote(str(path)) in error.hint or str(path) not in error.hint
    assert not capfd.readouterr().err  # a panic of Rust prints its own backtrace


def key_of(path):
    keygen(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "it has something before its first line"),
        (lambda data: b"  " + data, "it has something before its first line"),
        (lambda data: b"".join(data.split(b"\n")), "it is a single line"),
        (lambda data: data[:150], "it has no end"),
    ],
)
def test_what_an_editor_or_a_clipboard_has_made_of_it(tmp_path, change, said):
    """They were called PKCS#8, which has another first line."""
    path = tmp_path / "key"
    path.write_bytes(change(key_of(path)))
    with pytest.raises(AuthenticationRefused, match=f"is not a private key: {said}"):
        key_file.load(str(path), None, None)


def test_a_cipher_that_can_not_be_opened(tmp_path):
    """It was said that its passphrase may be another."""
    path = keygen(tmp_path / "key", "-Z", "aes256-gcm@openssh.com", passphrase="secret")
    with pytest.raises(AuthenticationRefused, match=r"is encrypted with aes256-gcm@openssh\.com") as caught:
        key_file.load(str(path), None, Secret("Passphrase", "PATH"))
    assert "-Z aes256-ctr" in caught.value.hint


def test_a_curve_that_ssh_has_no_name_for(tmp_path):
    """It was a closed connection."""
    path = tmp_path / "key"
    path.write_bytes(openssl("ecparam", "-genkey", "-name", "secp256k1", "-noout"))
    path.chmod(0o600)
    with pytest.raises(AuthenticationRefused, match="of a kind that edgepress cannot use"):
        key_file.load(str(path), None, None)


@pytest.mark.parametrize("what", ["garbage", "a public half", "a folder"])
def test_a_certificate_that_is_none_is_named(tmp_path, what):
    """The key was called no private key, or was sent with it."""
    path, beside = keygen(tmp_path / "key"), tmp_path / "key-cert.pub"
    if what == "a folder":
        beside.mkdir()
    else:
        beside.write_text("garbage" if what == "garbage" else public(path))
    with pytest.raises(
        AuthenticationRefused, match=r"the certificate .*key-cert\.pub (is not an SSH certificate|cannot be read)"
    ):
        key_file.load(str(path), None, None)


def test_secrets_of_another_encoding(tmp_path, monkeypatch):
    """A passphrase is bytes; a password is UTF-8. Both were tracebacks or a closed connection."""
    monkeypatch.setitem(os.environb, b"SECRET", b"p\xe4ss")
    path = keygen(tmp_path / "key", passphrase=os.fsdecode(b"p\xe4ss"))
    key_file.load(str(path), None, Secret("Passphrase", "SECRET"))
    with pytest.raises(AuthenticationRefused, match="Password of me in SECRET is not UTF-8"):
        passwords.reveal_text(Secret("Password of me", "SECRET"))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(bytes(key_file.LIMIT_BYTES + 1))
    for path, says in (
        (tmp_path / "none", "No such file"), (tmp_path, "is a folder"), (tmp_path / "pipe", "it is not a file"),
        ("/dev/zero", "it is not a file"), ("/dev/null", "is empty"), (tmp_path / "long", "65537 bytes"),
    ):  # fmt: skip
        error = refused(path)
        assert says in error.message
        assert str(path) in error.message


def test_a_passphrase_for_a_key_without(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSPHRASE", "x")
    error = refused(keygen(tmp_path / "key"), Secret("p", "PASSPHRASE"))
    assert "has no passphrase" in error.message
    assert "passphrase_env" in error.hint


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    files = [keygen(folder / "a"), keygen(folder / "b", "-m", "PEM", passphrase="secret", kind="rsa"), keygen(folder / "c", passphrase="secret")]  # fmt: skip
    return [Path(path).read_bytes() for path in files], folder / "changed"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_key_file_is_a_traceback(sound, data):
    keys, path = sound
    changed = bytearray(data.draw(st.sampled_from(keys)))
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=6)):
        changed[place] = data.draw(st.integers(0, 255))
    path.write_bytes(changed[: data.draw(st.integers(0, len(changed)))])
    path.chmod(0o600)
    os.environ["KEY_FILE_SECRET"] = "secret"
    for secret in (None, Secret("p", "KEY_FILE_SECRET")):
        with contextlib.suppress(AuthenticationRefused):
            assert isinstance(key_file.load(str(path), None, secret), paramiko.PKey)


def test_a_panic_of_the_library_is_the_file_s_fault_and_a_stop_is_not(tmp_path, monkeypatch):
    class PanicException(BaseException):
        """As cryptography's Rust raises it."""

    for raised, expected in ((PanicException("assertion failed"), AuthenticationRefused), (KeyboardInterrupt(), KeyboardInterrupt)):  # fmt: skip

        def load(*_, raised=raised):
            raise raised

        monkeypatch.setattr(paramiko.PKey, "from_path", load)
        with pytest.raises(expected):
            key_file.load(str(keygen(tmp_path / type(raised).__name__)), None, None)


def test_it_is_said_before_anybody_is_connected_to(tmp_path):
    """Nobody listens on that port, which would be another sentence."""
    key = tmp_path / "id.pub"
    key.write_bytes(KEYS["a .pub"][0]())
    with pytest.raises(AuthenticationRefused, match="public half"):
        SshLink(Target(name="pi", host="127.0.0.1", port=free_port(), user="pi", key=str(key), known_hosts="/dev/null"))


def test_of_several_boards_the_others_are_shown(tmp_path):
    key = tmp_path / "id_sk"
    key.write_bytes(KEYS["a token's"][0]())
    (tmp_path / "boards.toml").write_text('[pi]\nhost = "127.0.0.1"\nport = 1\nuser = "pi"\nkey = "id_sk"\n')
    done = edgepress("boards", "--folder", tmp_path, "check", "pi", "local")
    assert done.returncode == 4
    assert SK.decode() in done.stdout
    assert "local  ok" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_public_half_beside_a_key_is_not_needed(tmp_path):
    key = Path(keygen(tmp_path / "key"))
    assert public(key).split()[1] == key_file.load(str(key), None, None).get_base64()
