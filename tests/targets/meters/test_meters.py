"""The contract of every meter that this machine reads: it opens with its settings, or says in one sentence why it cannot."""

import http.server
import importlib.util
import json
import sys
import threading
import types
from pathlib import Path

import pytest

from device_agent.wire import MeterInfo, PowerTrace
from targets import meters
from targets.errors import MeterUnavailable
from targets.meters import CLOCKLESS, COARSE, MEASURED, METERS, open_meter
from tests.support.meters import use

WATTS = 5.5


class FakeJoulescope:
    """Stands for pyjoulescope_driver.Driver: one JS220, which reports the energy once it is listened to."""

    def device_paths(self):
        return ["u/js220/000001"]

    def open(self, path):
        assert path in self.device_paths()

    def close(self, path):
        pass

    def publish(self, topic, value):
        pass

    def subscribe(self, topic, flags, hear):
        for energy_j in (1.0, 1.0 + WATTS / 10):
            hear(topic, {"accumulators": {"energy": {"value": energy_j}}})

    def unsubscribe(self, topic, hear):
        pass


@pytest.fixture
def instruments(monkeypatch, tmp_path):
    """What is measured with: a plug in the network, a Joulescope on USB and a file. Returns what SETTINGS need of them."""

    class Plug(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"apower": WATTS}).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plug)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    driver = types.ModuleType("pyjoulescope_driver")
    driver.Driver = FakeJoulescope
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", driver)
    log = tmp_path / "log.csv"
    log.write_text(f"time,watts\n0,{WATTS}\n0.1,{WATTS}\n")
    yield {"host": f"127.0.0.1:{server.server_port}", "path": str(log)}
    server.shutdown()
    server.server_close()
    thread.join()


SETTINGS = {"joulescope": (), "shelly": ("host",), "csv": ("path",)}
"""Name of a meter -> the settings without which it cannot be opened."""


def opened(name, instruments, **more):
    return open_meter(use(name, **{key: instruments[key] for key in SETTINGS[name]}, **more))


def test_a_meter_is_a_file_and_a_line():
    files = {path.stem for path in Path(meters.__file__).parent.glob("[!_]*.py")}
    assert files == set(METERS) == set(SETTINGS)


@pytest.mark.parametrize("name", METERS)
def test_the_contract_of_a_meter(name, instruments):
    """It describes itself, and what it read between start and stop is a trace of the same meter, of power or of energy."""
    meter = opened(name, instruments)
    assert isinstance(meter.info, MeterInfo)
    assert (meter.info.name, meter.info.error) == (name, "")
    assert meter.info.rail
    assert meter.info.quality in {MEASURED, COARSE}
    assert meter.info.period_ns > 0
    assert meter.own_clock == (name in CLOCKLESS)
    meter.start()
    trace = meter.stop()
    assert isinstance(trace, PowerTrace)
    assert (trace.meter, trace.rail, trace.quality, trace.note) == (name, meter.info.rail, meter.info.quality, "")
    assert (trace.failed, trace.gain_ppm) == (0, None)  # nobody has stated a gain
    assert list(trace.t_ns) == sorted(trace.t_ns)
    readings = trace.energy_uj if meter.info.accumulates else trace.power_uw
    assert len(readings) == len(trace.t_ns)
    assert {trace.power_uw, trace.energy_uj} == {readings, ()}


@pytest.mark.parametrize("name", METERS)
def test_the_users_calibration_is_the_gain_of_a_trace(name, instruments):
    meter = opened(name, instruments, gain_percent=0.25)
    meter.start()
    assert meter.stop().gain_ppm == 2500


@pytest.mark.parametrize("name", METERS)
def test_a_wrong_setting_is_said_with_those_that_there_are(name, instruments):
    with pytest.raises(MeterUnavailable, match=f"the meter {name} has no setting adress") as caught:
        opened(name, instruments, adress=1)
    assert "gain_percent" in caught.value.hint
    with pytest.raises(MeterUnavailable, match="gain_percent must be a number above 0"):
        opened(name, instruments, gain_percent="much")


@pytest.mark.parametrize("name", [name for name, needed in SETTINGS.items() if needed])
def test_a_setting_that_is_missing_is_named(name):
    with pytest.raises(MeterUnavailable) as caught:
        open_meter(use(name))
    assert f"`{SETTINGS[name][0]}`" in caught.value.message
    assert "boards.toml" in caught.value.hint


def test_without_its_driver_a_joulescope_says_which_extra_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    with pytest.raises(MeterUnavailable, match="pyjoulescope_driver is not installed") as caught:
        open_meter(use("joulescope"))
    assert "edgepress[joulescope]" in caught.value.hint


@pytest.mark.parametrize("name", METERS)
def test_a_meter_is_listed_without_its_driver(name, monkeypatch):
    """Its file is imported for every board; what it needs is imported when it is opened."""
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    spec = importlib.util.find_spec(METERS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.open_meter)
