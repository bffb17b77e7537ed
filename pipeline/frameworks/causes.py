"""What a framework said, cut down to the sentence that names the cause."""

import re
from pathlib import Path

from pipeline.safe_text import shortened

CAUSES = (
    re.compile(r"Exception encountered: (.+)"),  # Keras puts a page of advice before the cause
    re.compile(r"^(.*\berror: .+)", re.MULTILINE),  # TensorFlow's converter
)


def cause_of(error: BaseException, path: Path | None = None) -> str:
    """One line of at most 300 characters. `path`: of the file in our store, which is not what the user calls it."""
    text = str(error).strip()
    if path is not None:
        text = text.replace(str(path), "it").replace(f"{path.parent}/", "")
    found = next((match[1] for cause in CAUSES if (match := cause.search(text))), None)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return shortened(found or first)
