"""What edgepress keeps on the host: artifacts under their sha256, written once; the answers of stages; runs.

    .edgepress/                 next to the plan, or where --state says
      .gitignore                all of it stays out of version control
      store/<sha256>            an artifact; never changed, and checked before each use (verified.py)
      verified/<sha256>         what was seen of it when its hash was right
      answers/<stage>-<key>     what a stage (or one pass) answered for these inputs, settings and versions (JSON, sealed)
      resume/<key>/             how far the training of a pass has come that is not done
      runs/<run id>.json        one RunRecord, sealed; the number in front of its id is its place in the order (runs.py)
      sequence                  the last number that was given
      reports/<run id>/         its report.html, report.md, report.json
      tmp/<process>/            one folder a process, locked: written here first, then renamed
      leases/<process>          what that process needs: nobody removes it while the process lives (leases.py)

Every write: temporary file, fsync, rename, fsync of the folder. A reader sees the old file or the new one.
"""

from pipeline.store.files import UMASK, sealed, unsealed, with_digest, without_digest, write_atomically
from pipeline.store.keys import artifacts_in, key_of, versions
from pipeline.store.store import Store

__all__ = [
    "UMASK", "Store", "artifacts_in", "key_of", "sealed", "unsealed", "versions", "with_digest", "without_digest",
    "write_atomically",
]  # fmt: skip
