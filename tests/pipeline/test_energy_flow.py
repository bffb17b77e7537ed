"""From boards.toml's settings to the report, through the real agent: a recording in place of a meter."""

from pathlib import Path

import msgspec
import pytest

from device_agent import wire
from pipeline.deploy import meters
from pipeline.measure.energy.capture import Watch
from pipeline.measure.energy.reading import doubts_about_energy
from pipeline.plan import read
from targets import inventory, open_session
from targets.errors import MeterUnavailable
from targets.meters import csv as csv_meter
from targets.meters import shelly
from tests.support.sessions import MODEL, SHA, launch


@pytest.fixture
def plan(tmp_path):
    def of(measure: str):
        path = tmp_path / "edge.toml"
        path.write_text(f'[model]\npath = "m.onnx"\n[measure]\n{measure}\n')
        return read(path)

    return of


@pytest.fixture
def board(tmp_path, monkeypatch):
    """This machine, with a recording of 4 W as its meter."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recorded = tmp_path / "recorded"
    recorded.write_text("".join(f"{n / 100:.2f} 4.0\n" for n in range(6000)))
    target = inventory.find("local", tmp_path)
    return msgspec.structs.replace(target, meters={"replay": {"path": str(recorded), "rail": "5 V"}})


def test_a_meter_of_boards_toml_watches_a_launch(plan, board):
    """The recording does not know of the load: so net energy cannot be told, which is said, with what was read."""
    tables = plan('meters = ["replay"]\nenergy_seconds = 5\nenergy_idle_seconds = 1')
    with open_session(board) as session:
        (chosen,) = meters.chosen(session, tables, board)
        assert (chosen.rail, chosen.quality, chosen.on_board, chosen.period_s) == ("5 V", "coarse", True, 0.01)
        session.put(MODEL, SHA)
        with Watch(session, tables, (chosen,)) as watch:
            job_id = session.submit((watch.launch_of(launch()),), "test")
            (answer,) = (each for each in session.follow(job_id) if isinstance(each, wire.Launched))
            watch.ended()
    energy, doubts = watch.energy_of(answer)
    (reading,) = energy.readings
    assert reading.readings >= 500
    busy = ("missing", "nothing was read")  # a machine that is too busy to read the meter in time
    assert reading.invalid == "the load cannot be told from idle" or any(why in reading.invalid for why in busy)
    assert doubts[0].invalid
    assert doubts[0].touches == "energy replay"


def test_auto_takes_the_tables_meters_and_a_wrong_one_is_said_before_anything_is_spent(plan, board):
    with open_session(board) as session:
        assert "replay" in [each.name for each in meters.chosen(session, plan(""), board)]
        assert meters.chosen(session, plan("meters = []"), board) == ()
        wrong = msgspec.structs.replace(board, meters={"ina226": {"address": 0x40, "shunt_ohm": 0.1, "bus": 99}})
        with pytest.raises(MeterUnavailable, match=r"ina226 cannot be read.*i2c-99") as refused:
            meters.chosen(session, plan(""), wrong)
        assert refused.value.hint.startswith("Correct [local.meters.ina226]")
        with pytest.raises(MeterUnavailable, match=r"there is no meter 'crystal ball', only .*ina226") as refused:
            meters.chosen(session, plan('meters = ["crystal ball"]'), board)
        assert "`edgepress boards check local`" in refused.value.hint  # no table of a meter that is none


def test_a_slow_sampler_is_a_doubt(board):
    window = wire.EnergyWindow(1, 0, 1, 0, (), (), ((100, 103),) * 6)
    answer = type("Answer", (), {"energy": window})
    assert [doubt.what for doubt in doubts_about_energy([], answer)] == ["reading the meters costs time"]
    window = wire.EnergyWindow(1, 0, 1, 0, (), (), ((1000, 1003),) * 6)
    assert doubts_about_energy([], type("Answer", (), {"energy": window})) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time,watts\n0.0,3.5\n0.1,4\n0.2,4\n", (3_500_000, 4_000_000, 4_000_000)),
        ("amps,time,volts,remark\n0.5,0,5,x\n1,0.1,5,y\n", (2_500_000, 5_000_000)),
    ],
)
def test_a_file_of_any_instrument(tmp_path, text, expected):
    path = tmp_path / "log.csv"
    path.write_text(text)
    meter = csv_meter.open_meter({"path": str(path)})
    meter.start()
    trace = meter.stop()
    assert (trace.power_uw, trace.period_ns, trace.note) == (expected, 100_000_000, "")


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "time,watts\n1,x\n", "time,watts\n1\n", "time,watts\nnan,1\n", "time,volts\n1,2\n"]
)
def test_a_file_that_is_none_is_told(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text)
    trace = csv_meter.open_meter({"path": str(path)}).stop()
    assert trace.power_uw == ()
    assert "log.csv cannot be read" in trace.note


@pytest.fixture
def plug():
    """A plug's HTTP interface that says what it is told to say."""
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.says)
            self.server.asked = self.path

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.says = b'{"id": 0, "apower": 7.25, "output": true}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_plug_is_asked_for_its_power(plug):
    meter = shelly.open_meter({"host": f"127.0.0.1:{plug.server_port}", "id": "2"})
    assert plug.asked == "/rpc/Switch.GetStatus?id=2"
    assert meter.read() == 7_250_000
    meter.start()
    trace = meter.stop()
    assert (trace.quality, trace.gain_ppm) == ("coarse", None)
    for nonsense in (b"", b"[]", b'{"apower": "much"}', b'{"apower": null}', b'{"apower": 1e999}'):
        plug.says = nonsense
        with pytest.raises(OSError, match="no power"):
            meter.read()


@pytest.mark.parametrize("settings", [{}, {"host": "a@b"}, {"host": "a", "id": "x"}, {"host": "a", "hots": "b"}])
def test_a_plug_that_is_not_named_rightly(settings):
    with pytest.raises(MeterUnavailable):
        shelly.open_meter(settings)


def test_settings_of_a_meter_in_boards_toml(tmp_path):
    (tmp_path / "boards.toml").write_text(
        '[pi5]\nhost = "192.0.2.5"\nuser = "pi"\nkey = "k"\n[pi5.meters.ina226]\naddress = 0x40\nshunt_ohm = 0.02\n'
    )
    use = meters.use_of("ina226", inventory.find("pi5", Path(tmp_path)))
    assert use == wire.MeterUse("ina226", (("address", "64"), ("shunt_ohm", "0.02")))
