"""What a file is that is not a model of its kind: by its first bytes, so that the hint has evidence."""

from pipeline.errors import ModelError

LFS = b"version https://git-lfs.github.com/spec/"  # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
KINDS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", ".h5"),
    (b"PK\x03\x04", "a zip archive, as .keras files are", ".keras"),
)


def error(data: bytes, name: str, what: str, why: str, hint: str) -> ModelError:
    """`why` and `hint` are for bytes that nobody knows."""
    if not data:
        why, hint = "it is empty", "Copy it again, or write it again."
    elif data.startswith(LFS):
        why, hint = "it is a pointer of Git LFS, and the content is elsewhere", "Fetch it with `git lfs pull`."
    elif data[4:8] == b"TFL3":
        why, hint = "it is a .tflite file", "Give it the ending .tflite."
    elif data[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        why, hint = "it is a web page", "Download the file itself, not the page that shows it."
    else:
        for begin, kind, ending in KINDS:
            if data.startswith(begin):
                why, hint = f"it is {kind}", f"If it is a Keras model, give it the ending {ending}."
    return ModelError(f"{name} is not {what}: {why}", hint=hint)
