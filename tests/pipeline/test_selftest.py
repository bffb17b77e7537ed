"""`edgepress selftest`: the rates are counted rightly, and the command works on this machine."""

import json
import math
import random

import numpy as np
import pytest

from pipeline import selftest
from pipeline.statistics.paired_test import LOOKS, rule_of, smallest_limit
from tests.support.commands import edgepress

RULE, SHARPER = rule_of(0.03, None), rule_of(0.03, 0.005)


def noise(trials, deviation, seed=1):
    shuffle = random.Random(seed)
    return [[shuffle.gauss(0, deviation) for _ in range(20)] for _ in range(trials)]


def test_rates_count_every_trial_once():
    found = selftest.rates(noise(100, 0.004), RULE)
    assert [rate.slowdown for rate in found] == list(selftest.SLOWDOWNS)
    assert all(rate.regressed + rate.passed + rate.inconclusive == rate.trials == 100 for rate in found)
    unchanged, *_, most = found
    assert unchanged.regressed <= 2
    assert unchanged.regressed_high == pytest.approx(0.0362, abs=0.035)
    assert most.regressed == 100
    assert most.regressed_low == pytest.approx(0.9638, abs=1e-4)  # Clopper and Pearson's for 100 of 100
    assert selftest.caught(found) == 0.05
    assert selftest.caught(selftest.rates(noise(100, 0.004), SHARPER)) in (0.02, 0.03)


def test_the_limit_itself_is_among_the_slowdowns_and_proves_nothing():
    assert selftest.slowdowns_of(0.03) == selftest.SLOWDOWNS
    assert selftest.slowdowns_of(0.04) == (0.0, 0.02, 0.03, 0.04, 0.05, 0.10)
    at_limit = next(rate for rate in selftest.rates(noise(200, 0.004), RULE) if rate.slowdown == RULE.limit)
    assert at_limit.regressed <= 6
    assert at_limit.passed <= 6


@pytest.mark.parametrize(("deviation", "resolves"), [(0.004, True), (0.02, True), (0.2, False)])
def test_a_board_resolves_the_limit_by_which_an_unchanged_file_passes(deviation, resolves):
    found = selftest.rates(noise(60, deviation), RULE)
    known = dict.fromkeys(selftest.SelfTest.__struct_fields__)
    last = smallest_limit(deviation, LOOKS[-1], RULE)
    report = selftest.SelfTest(**{**known, "rates": found, "limit": 0.03, "smallest_limit_last": last})
    assert selftest.resolves(report) is resolves


def test_a_board_that_is_too_noisy_resolves_nothing_small():
    found = selftest.rates(noise(100, 0.2), RULE)
    assert selftest.caught(found) is None
    assert found[0].inconclusive > 90


@pytest.mark.frameworks
@pytest.mark.timeout(600)
def test_on_this_machine(tmp_path):
    done = edgepress("selftest", "local", "--trials", "2", "--json", cwd=tmp_path, timeout=580)  # 40 pairs
    assert done.returncode in (0, 3, 6), done.stderr
    said = json.loads(done.stdout)
    assert said["model"] == "selftest.tflite"
    counted = said["rates"][0]["trials"]
    assert counted + len(said["invalid"]) == 2
    if counted:
        assert math.isfinite(said["deviation"])
        assert said["rates"][-1]["trials"] == said["sharper"][-1]["trials"] == counted
        assert said["seconds_median"] > 0


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["nowhere"], 2, "nowhere"),
        (["local", "--model", "absent.tflite"], 2, "absent.tflite"),
        (["local", "--model", "what.keras"], 2, "cannot be run"),
        (["local", "--inputs", "absent.npy"], 2, "absent.npy cannot be read"),
        (["local", "--inputs", "no.npy"], 2, "no.npy is not a numeric .npy file"),
        (["local", "--inputs", "words.npy"], 2, "words.npy is not a numeric .npy file"),
        (["local", "--inputs", "two.npz"], 2, "two.npz is not a numeric .npy file"),
        (["local", "--inputs", "half.npz"], 2, "half.npz is not a numeric .npy file"),
        (["local", "--inputs", "empty.npy"], 2, "empty.npy is not a numeric .npy file"),
        (["local", "--trials", "1"], 2, "trials"),
        (["local", "--limit", "nan"], 2, "not a share"),
        (["local", "--margin", "nan"], 2, "not a share"),
        (["local", "--margin", "0.031"], 2, "above the limit"),
    ],
)
def test_bad_input(tmp_path, options, code, word):
    (tmp_path / "no.npy").write_text("seed = 3\n")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.savez(tmp_path / "two.npz", x=np.zeros(2))
    (tmp_path / "half.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])
    (tmp_path / "empty.npy").touch()
    done = edgepress("selftest", *options, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert word in done.stderr
