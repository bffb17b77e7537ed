"""Boards that are named in ssh_config: `ssh -G` answers, real servers are reached through it."""

import getpass
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets import inventory
from targets.errors import AuthenticationRefused, HostKeyChanged, HostKeyUnknown, UnknownTarget
from targets.inventory import Target
from targets.ssh import SshLink, config
from targets.ssh.route import route
from tests.support.own_sshd import fingerprint, keygen, own_sshd, public

USER = getpass.getuser()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two servers: a jump host and a board."""
    folder = tmp_path_factory.mktemp("pair")
    with own_sshd(folder / "jump") as jump, own_sshd(folder / "board") as behind:
        yield jump, behind


@pytest.fixture
def board(tmp_path):
    """board(text) -> Target whose ssh_config is this text."""

    def make(text, alias="board"):
        (tmp_path / "ssh_config").write_text(text)
        (tmp_path / "boards.toml").write_text(f'[pi]\nssh = "{alias}"\nssh_config = "ssh_config"\n')
        return inventory.find("pi", tmp_path)

    return make


def host(alias, target, *more):
    lines = [f"HostName {target.host}", f"Port {target.port}", f"User {USER}", f"IdentityFile {target.key}",
             f"UserKnownHostsFile {target.known_hosts}", *more]  # fmt: skip
    return f"Host {alias}\n" + "".join(f"  {line}\n" for line in lines)


def runs_there(target):
    link = SshLink(target)
    try:
        assert link.start(["echo", "here"]).receive(100, 10) == b"here\n"
        return link.address
    finally:
        link.close()


def log_of(target):
    return Path(target.key).with_name("log").read_text()


def test_a_host_with_include_and_match(pair, board, tmp_path):
    """What paramiko's reader leaves out: Include is followed, Match host decides."""
    _, behind = pair
    (tmp_path / "included").write_text(host("pi-in-the-lab", behind).replace(f"  Port {behind.port}\n", ""))
    text = f"Include {tmp_path}/included\nMatch host {behind.host}\n  Port {behind.port}\n"
    assert runs_there(board(text, "pi-in-the-lab")) == f"{USER}@127.0.0.1:{behind.port}"


def test_through_a_jump_host(pair, board):
    jump, behind = pair
    before = log_of(jump).count("Accepted publickey")
    target = board(host("gate", jump) + host("board", behind, "ProxyJump gate"))
    assert [hop.port for hop in route(target)] == [jump.port, behind.port]
    assert runs_there(target).endswith(f":{behind.port}")
    assert log_of(jump).count("Accepted publickey") == before + 1


def test_through_a_chain_whose_first_has_a_jump_host_of_its_own(pair, board):
    jump, behind = pair
    text = host("gate", jump) + host("outer", jump, "ProxyJump gate") + host("inner", jump, "ProxyJump none-such")
    target = board(text + host("board", behind, "ProxyJump outer,inner"))
    assert [hop.port for hop in route(target)] == [jump.port, jump.port, jump.port, behind.port]
    runs_there(target)


def test_each_hop_has_its_own_pinned_key(pair, board, tmp_path):
    jump, behind = pair
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    wrong.write_text(f"[127.0.0.1]:{jump.port} {public(keygen(tmp_path / 'other'))}")
    known = f"UserKnownHostsFile {jump.known_hosts}"
    for file, error in ((empty, HostKeyUnknown), (wrong, HostKeyChanged)):
        text = host("gate", jump).replace(known, f"UserKnownHostsFile {file}")
        with pytest.raises(error, match=f":{jump.port}"):
            runs_there(board(text + host("board", behind, "ProxyJump gate")))


def test_a_jump_host_that_forwards_nothing(pair, board, tmp_path):
    _, behind = pair
    with (
        own_sshd(tmp_path / "closed", "AllowTcpForwarding no") as closed,
        pytest.raises(Exception, match="cannot be reached from the jump host") as caught,
    ):
        runs_there(board(host("gate", closed) + host("board", behind, "ProxyJump gate")))
    assert "AllowTcpForwarding" in caught.value.hint


def test_a_user_certificate(board, tmp_path):
    """The server trusts a CA, not the key."""
    ca = keygen(tmp_path / "ca")
    with own_sshd(tmp_path / "sshd", f"TrustedUserCAKeys {ca}.pub") as target:
        Path(target.key).with_name("authorized_keys").write_text("")
        with pytest.raises(AuthenticationRefused, match="does not accept"):
            runs_there(board(host("board", target)))
        sign = ["ssh-keygen", "-q", "-s", ca, "-I", "test", "-n", USER]
        subprocess.run([*sign, f"{target.key}.pub"], check=True, capture_output=True)
        beside = Path(f"{target.key}-cert.pub")
        elsewhere = beside.rename(tmp_path / "elsewhere-cert.pub")
        runs_there(board(host("board", target, f"CertificateFile {elsewhere}")))
        elsewhere.rename(beside)  # found beside the key, as ssh does
        runs_there(board(host("board", target)))
        runs_there(target)


def test_host_key_alias(pair, board, tmp_path):
    _, behind = pair
    known = tmp_path / "known"
    known.write_text(Path(behind.known_hosts).read_text().replace(f"[127.0.0.1]:{behind.port}", "the-pi"))
    text = host("board", behind, "HostKeyAlias The-Pi").replace(behind.known_hosts, str(known))
    runs_there(board(text))


def test_a_key_of_an_agent(pair, board, tmp_path):
    """IdentityFile names the public half; the agent at IdentityAgent signs."""
    from tests.support.ssh_agent import agent

    _, behind = pair
    (tmp_path / "only.pub").write_text(public(behind.key))
    with agent(keygen(tmp_path / "other"), behind.key) as where:
        text = host("board", behind, f"IdentityAgent {where}").replace(behind.key, f"{tmp_path}/only.pub")
        runs_there(board(text))


def test_tokens_and_defaults(board, tmp_path):
    keygen(tmp_path / "key_192.0.2.9_pi")
    target = board(
        f"Host board\n  HostName 192.0.2.9\n  User pi\n  IdentityFile {tmp_path}/key_%h_%r\n  IdentityAgent none\n"
        "  ConnectTimeout 3\n"
    )
    (hop,) = route(target)
    assert (hop.host, hop.port, hop.user, hop.connect_timeout_s) == ("192.0.2.9", 22, "pi", 3.0)
    assert hop.key == f"{tmp_path}/key_192.0.2.9_pi"
    assert hop.agent is None
    assert all(file.startswith("/") for file in hop.known_hosts)


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        ("ProxyCommand nc %h %p", UnknownTarget, "ProxyCommand"),
        ("ProxyJump board", UnknownTarget, "more than 8 hosts"),
        ("HostName -oProxyCommand=x", UnknownTarget, "hostname"),
        ("HostName a;b", UnknownTarget, "hostname"),
        ("User -l", UnknownTarget, "user"),
        ("IdentityFile /tmp/%C", UnknownTarget, "%C"),
        ("IdentityAgent none", AuthenticationRefused, "which does not exist"),
        ("UserKnownHostsFile relative", UnknownTarget, "not absolute"),
        ("Nonsense yes", UnknownTarget, "failed"),
    ],
)
def test_what_is_refused(board, tmp_path, lines, error, says):
    key = tmp_path / "nowhere" if "not exist" in says else keygen(tmp_path / "key")
    with pytest.raises(error, match=says):
        route(board(f"Host board\n  {lines}\nHost *\n  IdentityFile {key}\n  HostName 192.0.2.9\n  User pi\n"))


def test_several_keys_are_refused(board, tmp_path):
    keys = [keygen(tmp_path / name) for name in ("one", "two")]
    with pytest.raises(AuthenticationRefused, match="2 keys"):
        route(board("Host board\n" + "".join(f"  IdentityFile {key}\n" for key in keys)))


@given(st.text(min_size=1, max_size=30))
def test_no_alias_becomes_an_option_or_a_command(alias):
    """Whatever a boards.toml says: it is refused, or it is one argument that ssh takes for a host."""
    if config.HOST.fullmatch(alias) is None:
        with pytest.raises(UnknownTarget):
            config.hops(alias, "/dev/null", "pi")
    else:
        assert not alias.startswith("-")


@given(st.text(max_size=60))
def test_no_proxy_jump_breaks_the_reader(text):
    said = config._Answer.__new__(config._Answer)
    said.alias = "board"
    try:
        where, options = config._jump(said, text)
    except UnknownTarget:
        return
    assert config.HOST.fullmatch(where)
    assert not [each for each in options[1::2] if each.startswith("-")]


def test_no_ssh_on_this_machine(board, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnknownTarget, match="no ssh on this machine"):
        route(board("Host board\n  User pi\n"))


def test_trust_pins_the_jump_host_first(pair, tmp_path):
    from tests.support.commands import edgepress

    jump, behind = pair
    known = tmp_path / "known"
    text = host("gate", jump).replace(jump.known_hosts, str(known))
    (tmp_path / "ssh_config").write_text(
        text + host("board", behind, "ProxyJump gate").replace(behind.known_hosts, str(known))
    )
    (tmp_path / "boards.toml").write_text('[pi]\nssh = "board"\nssh_config = "ssh_config"\n')
    refused = edgepress("boards", "--folder", tmp_path, "check", "pi")
    assert refused.returncode == 4
    assert "edgepress boards trust pi" in refused.stderr
    said = edgepress("boards", "--folder", tmp_path, "trust", "pi", input="y\ny\n")
    assert said.returncode == 0, said.stderr
    for target in pair:
        assert fingerprint(Path(target.key).with_name("host_ed25519")) in said.stdout
    assert [line.split()[0] for line in known.read_text().splitlines()] == [
        f"[127.0.0.1]:{jump.port}", f"[127.0.0.1]:{behind.port}"
    ]  # fmt: skip
    assert edgepress("boards", "--folder", tmp_path, "check", "pi").returncode == 0


def test_a_plain_board_needs_no_ssh_program(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    target = Target(name="pi", host="192.0.2.5", user="pi", key="/k", known_hosts="/known")
    assert [hop.address for hop in route(target)] == ["pi@192.0.2.5:22"]
