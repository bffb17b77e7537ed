"""Records are read by several threads at once: conversions are."""

import subprocess
import sys

CODE = """
import sys, threading
import msgspec
from pipeline.records import Artifact, Converted
sys.setswitchinterval(1e-6)
made = Artifact(sha256="0" * 64, format="onnx", size_bytes=3)
data = msgspec.json.encode(Converted(variant="original", format="onnx", artifact=made, agreement=None, answers=(made,)))
together = threading.Barrier(16)
def read():
    together.wait()
    msgspec.json.decode(data, type=Converted)
threads = [threading.Thread(target=read) for _ in range(16)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


def test_the_first_reading_of_a_record_may_be_in_many_threads():
    """msgspec crashes about half of such processes, unless it knows the type before."""
    for _ in range(12):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
