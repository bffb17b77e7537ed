"""Mode "end_to_end": what is timed with the model, and what is said of functions that do what they should not."""

import io
import time

import pytest

from device_agent import wire
from device_agent.bench import launches, runner_process
from device_agent.bench.spool import Spool
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, sha256, sleep_model
from tests.support.fed import fed
from tests.support.models import MODELS, runtime_or_skip

np = pytest.importorskip("numpy")

ROWS = np.random.default_rng(1).uniform(0, 255, (5, 4)).astype("float64")
PLAIN = """import time
import numpy as np
made = 0

def before(rows):
    global made
    made += 1
    time.sleep(0.002)
    return {"x": rows["picture"] / 255, "more": [[made]]}

def after(outputs):
    time.sleep(0.001)
    return {"sum": outputs["y"].sum(axis=1), "made": np.array([[[made]]])}
"""


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def own(store, code, **changes) -> wire.Launch:
    """A launch that times `before` and `after` of this code with a model of 0.3 ms. `store`: puts a blob on the board."""
    file = store(code.encode())
    asked = {
        "preprocess": wire.OwnFunction("judging", "before", file),
        "postprocess": wire.OwnFunction("judging", "after", file),
        "rows": (wire.NamedRows("picture", store(npy(ROWS))),),
        "fed": (("x", "float32"),),
        "outputs": ("y",),
    }
    return replace(
        LAUNCH,
        mode="end_to_end",
        model_sha256=store(sleep_model(outputs=[1.0, 2.0])),
        inputs=fed(store(npy((ROWS / 255).astype("float32")))),
        timed_min_ns=50_000_000,
        end_to_end=wire.EndToEnd(**{**asked, **changes}),
    )


def test_a_row_is_timed_through_all_three(agent):
    launched, ended = agent.run(own(agent.store, PLAIN))
    assert isinstance(launched, wire.Launched), launched
    assert ended.state == wire.FINISHED
    it = launched.end_to_end
    assert len(launched.latency_ns) == len(it.preprocess_ns) == len(it.inference_ns) >= 10
    whole, before, model = (np.median(each) for each in (launched.latency_ns, it.preprocess_ns, it.inference_ns))
    assert 2_000_000 <= before < 8_000_000
    assert 300_000 <= model < 2_000_000
    assert 1_000_000 <= whole - before - model < 8_000_000
    assert it.golden == pytest.approx((ROWS[:4] / 255).ravel(), rel=1e-6)
    assert it.gives == (wire.Given("sum", ()), wire.Given("made", (1, 1)))
    asked = own(agent.store, PLAIN).end_to_end
    assert it.files_sha256 == (asked.rows[0].sha256, asked.preprocess.sha256, asked.postprocess.sha256)
    assert len(launched.golden) == 8  # the model's own, without the functions


@pytest.mark.parametrize("key", ["preprocess", "postprocess"])
def test_one_of_the_two_is_enough(agent, key):
    asked = own(agent.store, PLAIN.replace('"picture"', '"x"').replace("/ 255", "/ 1")).end_to_end
    rows = (wire.NamedRows("x", agent.store(npy((ROWS / 255).astype("float32")))),)
    launched, _ = agent.run(own(agent.store, PLAIN, **{key: None, "rows": rows, "fed": asked.fed}))
    if key == "preprocess":
        assert launched.end_to_end.gives == (wire.Given("sum", ()), wire.Given("made", (1, 1)))
        assert max(launched.end_to_end.preprocess_ns) < 100_000_000
    else:
        assert (launched.error, "'picture'" in launched.message) == ("FunctionFailed", True)


RAISED = "task.preprocess: judging:before raised "
WRONG = {
    "raise KeyError('on it')": ("FunctionFailed", RAISED + "KeyError: 'on it' (judging.py, line 4)"),
    "raise SystemExit(3)": ("FunctionFailed", RAISED + "SystemExit: 3 (judging.py, line 4)"),
    "__import__('os')._exit(0)": ("exit", "the runner ended with exit code 0 and no result"),
    "print('Ended', flush=True); __import__('os').abort()": ("SIGABRT", "it said last: Ended"),
    "np.ones(1 << 29)": ("FunctionFailed", "MemoryError: Unable to allocate 4.00 GiB"),
    "a[0]['picture'] *= 2": ("FunctionFailed", RAISED + "ValueError: output array is read-only"),
    "a[0]['picture'].flags.writeable = True": ("FunctionFailed", RAISED + "ValueError: cannot set WRITEABLE flag"),
    "[__import__('os').write(each, b'{}\\n') for each in range(3, 9)]": ("FunctionFailed", RAISED + "OSError"),
    "return {'x': a[0]['picture'][:, :3]}": ("ValueError", "the input x takes (1, 4), a row has (3,)"),
    "return {}": ("KeyError", "'x'"),
    "return None": ("TypeError", "NoneType"),
}
FILES = {
    "def before(:\n": "raised SyntaxError: invalid syntax (judging.py, line 1)",
    "import no_such_thing\n": "raised ModuleNotFoundError: No module named 'no_such_thing' (judging.py, line 1)",
    "def other(x):\n    pass\n": "raised AttributeError",
}


def test_what_a_function_does_wrong_is_said_and_the_job_goes_on(agent):
    code = "import numpy as np\n\ndef before(*a):\n    {}\n\ndef after(outputs):\n    return outputs\n"
    wrong = [own(agent.store, each) for each in (*(code.replace("{}", body, 1) for body in WRONG), *FILES)]
    *failures, launched, ended = agent.run(*wrong, replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    wanted = {**WRONG, **{file: ("FunctionFailed", words) for file, words in FILES.items()}}
    for failed, (body, (error, words)) in zip(failures, wanted.items(), strict=True):
        assert isinstance(failed, wire.LaunchFailed), body
        assert (failed.phase, failed.error, words in failed.message) == ("preprocess", error, True), failed
    assert isinstance(launched, wire.Launched)
    assert ended.state == wire.FINISHED


def test_a_function_that_fails_later_is_named_too(agent):
    failed, _ = agent.run(own(agent.store, PLAIN.replace("    time.sleep(0.001)", "    assert made < 9, 'late'")))
    assert failed.phase in ("warmup", "timed")
    assert failed.message == "task.postprocess: judging:after raised AssertionError: late (judging.py, line 12)"


def test_rows_that_a_function_writes_to_on_the_disk_show_in_their_hash(agent):
    name = sha256(npy(ROWS))
    write = f"    open('{agent.root}/blobs/{name}', 'r+b').write(b'x')\n"
    launched, _ = agent.run(own(agent.store, PLAIN.replace("    made += 1\n", f"    made += 1\n{write}")))
    assert launched.end_to_end.files_sha256[0] != name


SENSELESS = (
    {"preprocess": None, "postprocess": None},
    {"rows": ()},
    {"fed": ()},
    {"preprocess": wire.OwnFunction("../x", "before", "a" * 64)},
    {"preprocess": wire.OwnFunction("x", "before", "../../evil")},
)


def test_what_makes_no_sense_is_refused(agent):
    good = own(agent.store, PLAIN)
    others = [own(agent.store, PLAIN, **changes) for changes in SENSELESS]
    for wrong in (replace(good, sequences=True), replace(good, mode="time"), replace(good, end_to_end=None), *others):
        (failure,) = agent.run(wrong)
        assert failure.error == "bad_request"


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(99)"])
def test_a_function_that_never_ends_is_given_up(place, tmp_path, monkeypatch, body):
    """A loop takes CPU time all the while: only its silence shows that it hangs."""
    monkeypatch.setattr(runner_process, "IDLE_S", 1.0)

    def store(data):
        (tmp_path / "edge" / "blobs" / sha256(data)).write_bytes(data)
        return sha256(data)

    request = wire.Submit(
        "1" * 32,
        "test",
        10**12,
        (own(store, f"import time\n\ndef before(rows):\n    {body}\n\nafter = before\n"),),
        (),
        0,
        0,
        None,
    )
    began = time.monotonic()
    launches.run(place, str(tmp_path), Spool(str(tmp_path)), request)
    failed = wire.decode((tmp_path / "events").read_bytes().splitlines()[-1])
    assert (failed.phase, failed.error) == ("preprocess", "timeout")
    assert failed.message == "it hangs: no message for 1 s, in phase preprocess"
    assert time.monotonic() - began < 10


def test_an_input_that_no_function_makes_keeps_its_constant(agent):
    runtime_or_skip("onnxruntime")
    code = (
        "import numpy as np\n\ndef before(rows):\n    return {'halves': rows['picture'] / 2}\n\n"
        "def after(outputs):\n    assert list(outputs) == ['sum']\n    assert (abs(outputs['sum'] - 7) <= 128).all()\n"
        "    return {'lost': outputs['sum'] - 7}\n"
    )
    rows, seven = npy((ROWS / 2).astype("float32")), npy(np.full((1, 4), 7, "float32"))
    launch = replace(
        own(agent.store, code, fed=(("halves", "float32"), ("", "")), outputs=("sum",)),
        model_sha256=agent.store((MODELS / "two_inputs.onnx").read_bytes()), model_format="onnx", runtime="onnxruntime",
        inputs=(wire.Input("a", (), agent.store(rows), False), wire.Input("b", (), agent.store(seven), True)),
    )  # fmt: skip
    launched, _ = agent.run(launch)
    assert isinstance(launched, wire.Launched), launched
    assert launched.end_to_end.golden == pytest.approx((ROWS[:4] / 2).ravel(), rel=1e-6)
    assert launched.end_to_end.gives == (wire.Given("lost", (4,)),)
