"""What is handed over in the tests of handing over."""

from pipeline import handover
from pipeline.handover import Item, Manifest

ABOUT = Manifest(
    edgepress_version="0", created_utc="", plan=handover.Source(path="/p/edge.toml", sha256="0" * 64),
    model=handover.Source(path="/p/m.keras", sha256="1" * 64), run_id="0001", verdict="REGRESSED", board=None,
    versions={}, runtimes={},
)  # fmt: skip


def items(**contents):
    return [Item(name.replace("_", "."), content, "model", "tflite") for name, content in contents.items()]
