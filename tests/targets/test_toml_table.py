"""boards.toml as people write it: what is wrong is said in its own words, with the file, and nothing is a traceback."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets import inventory, toml_table
from targets.errors import UnknownTarget

GOOD = '[pi]\nhost = "192.0.2.5"\nuser = "pi"\nkey = "id"\n'


def refused(folder, text):
    (folder / "boards.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnknownTarget) as caught:
        inventory.find("pi", folder)
    assert str(folder / "boards.toml") in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("host", "hints"),
    [
        ("pi@192.0.2.5", 'user = "pi", host = "192.0.2.5"'),
        ("192.0.2.5:2222", 'host = "192.0.2.5", port = 2222'),
        ("pi.local:22", "port = 22"),
        ("ssh://pi@pi.local:22", "no ssh:// before it"),
        ("[2001:db8::5]", 'host = "2001:db8::5"'),
        ("[2001:db8::5]:22", 'host = "2001:db8::5", port = 22'),
        ("pi local", "It must be a name"),
        (" pi", "It must be a name"),
        ("pi/5", "It must be a name"),
        ("-oProxyCommand=x", "It must be a name"),
        ("a" * 300, "It must be a name"),
    ],
)
def test_what_belongs_elsewhere_than_into_host(tmp_path, host, hints):
    error = refused(tmp_path, GOOD.replace("192.0.2.5", host))
    assert "`host` is" in error.message
    assert hints in error.hint


@pytest.mark.parametrize("host", ["192.0.2.5", "pi.local", "2001:db8::5", "fe80::1%eth0", "my_pi", "bücher.example"])
def test_hosts_that_are_good(tmp_path, host):
    (tmp_path / "boards.toml").write_text(GOOD.replace("192.0.2.5", host))
    assert inventory.find("pi", tmp_path).host == host


@pytest.mark.parametrize(
    ("text", "says", "hints"),
    [
        (GOOD + 'port = "22"\n', "`port`: expected a whole number, got a text", "not in quotes"),
        (GOOD + "port = 0\n", "`port`: expected a whole number >= 1", "1 to 65535"),
        (GOOD + "port = " + "9" * 40, "`port`", "1 to 65535"),
        (GOOD + "port = " + "9" * 5000, "too many digits (at line 5)", "Correct"),
        (GOOD + "port = inf\n", "`port`", "1 to 65535"),
        (GOOD + "port = 2020-01-01\n", "`port`", "1 to 65535"),
        (GOOD + "a = " + "[" * 5000, "nested too deeply", "Correct"),
        (GOOD + 'pasword = "ask"\n', '`pasword`; did you mean "password"?', "A board needs"),
        (GOOD + 'PYTHON = "python3"\n', 'did you mean "python"?', "A board needs"),
        (GOOD + 'knownhosts = "k"\n', 'did you mean "known_hosts"?', "A board needs"),
        ("[pi]\nvirtual = { memry = 3 }\n", 'did you mean "memory"?', "virtual"),
        (GOOD + 'board = "rasberry_pi_5"\n', 'did you mean "raspberry_pi_5"?', "boards facts"),
        (GOOD.replace('"id"', "{a = 1}"), "`key`: expected a text, got a table", "A board needs"),
        (GOOD + GOOD, "twice", "Correct"),
        ('host = "a"\n', "`host` is not in a board's table", "a line [pi5]"),
        (GOOD.replace("[pi]", "[[pi]]"), "`pi` is a list", "not [[pi5]]"),
        (GOOD.encode("utf-16"), "is not UTF-8 (byte 1)", "Save it as UTF-8"),
        (GOOD.encode() + b'root = "\xe9"', "is not UTF-8 (byte", "Save it as UTF-8"),
        (GOOD + "#" * (1 << 20), "bytes, more than", "Make it"),
        (GOOD + 'root = "' + "x" * 5000 + '"', "`root` has 5000 characters", "4000"),
        (GOOD.replace('user = "pi"', 'user = "pi "'), '`user` is "pi "', "without spaces"),
        ('[pi]\nssh = "pi@orin"\n', '`ssh` is "pi@orin"', "one host of ssh_config"),
        ('[pi]\nssh = "ssh orin"\n', '`ssh` is "ssh orin"', "one host of ssh_config"),
        (GOOD + 'python = "python3 -u"\n', '`python` is "python3 -u"', "without options"),
    ],
)
def test_what_is_wrong_has_its_own_words(tmp_path, text, says, hints):
    error = refused(tmp_path, text)
    assert says in error.message
    assert hints in error.hint


@pytest.mark.parametrize("key", [*toml_table.PATHS_HERE, *toml_table.PATHS_THERE])
def test_one_rule_for_paths(tmp_path, monkeypatch, key):
    good = '[pi]\nssh = "orin"\n' if key == "ssh_config" else GOOD if key != "key" else GOOD.replace('key = "id"\n', "")
    for path, says in (("$HOME/x", "$ is not expanded"), ("a/${X}", "$ is not expanded"), ("", "is empty"), ("~$(id)/x", "$ is not expanded"), ("~;id/x", "not a home folder")):  # fmt: skip
        assert says in refused(tmp_path, good + f'{key} = "{path}"\n').message
    monkeypatch.setenv("HOME", "/home/me")
    for path, here in (("~/x", "/home/me/x"), ("~root/x", None), ("x/~y", f"{tmp_path}/x/~y"), ("/x y", "/x y"), ("x", f"{tmp_path}/x")):  # fmt: skip
        (tmp_path / "boards.toml").write_text(good + f'{key} = "{path}"\n')
        found = getattr(inventory.find("pi", tmp_path), key)
        if here is not None:
            expanded_there = key not in toml_table.PATHS_HERE
            assert found == (path if expanded_there else here)
    if key in toml_table.PATHS_HERE:
        assert "no such home folder" in refused(tmp_path, good + f'{key} = "~nobody-at-all/x"\n').message


def test_the_file_of_an_instrument_is_one_of_this_machine(tmp_path):
    (tmp_path / "boards.toml").write_text(GOOD + '[pi.meters.csv]\npath = "log.csv"\n')
    assert inventory.find("pi", tmp_path).meters["csv"]["path"] == f"{tmp_path}/log.csv"
    assert "meters.csv.path" in refused(tmp_path, GOOD + '[pi.meters.csv]\npath = "$HOME/x"\n').message


def test_what_is_no_file(tmp_path):
    path = tmp_path / "boards.toml"
    path.mkdir()
    with pytest.raises(UnknownTarget, match="is a folder"):
        inventory.read(tmp_path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UnknownTarget, match="it is not a file"):
        inventory.read(tmp_path)


def test_a_name_that_is_nearly_right(tmp_path):
    (tmp_path / "boards.toml").write_text("".join(GOOD.replace("[pi]", f"[board{number}]") for number in range(99)))
    with pytest.raises(UnknownTarget, match='did you mean "board42"') as caught:
        inventory.find("boad42", tmp_path)
    assert "and 73 more" in caught.value.message


VALUE = st.one_of(
    st.text(max_size=20).map(lambda text: '"' + "".join(f"\\u{ord(each):04x}" for each in text if ord(each) < 0xD800) + '"'),
    st.sampled_from(["1", "-1", "true", "[]", "{}", "nan", "1e400", "10:00:00", "9" * 20, "[[1]]", '{a = {b = "c"}}', '"ask"']),
)  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*inventory.KEYS, "virtual", "name", "x y"]), VALUE, max_size=6))
def test_no_table_is_a_traceback(tmp_path, values):
    lines = "".join(f'"{key}" = {value}\n' for key, value in values.items())
    (tmp_path / "boards.toml").write_text(f"[pi]\n{lines}")
    try:
        assert inventory.find("pi", tmp_path).name == "pi"
    except UnknownTarget as error:
        caught = error
    else:
        return
    assert caught.hint
