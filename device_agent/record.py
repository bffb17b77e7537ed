"""A record of the wire, and its conversion to JSON and back. Types are checked strictly: the other side is not trusted.

Not dataclasses: defining forty of them takes 22 ms with their imports (here; several times that on a Pi), and every first
answer of an agent would wait for it. For the same reason (5 ms) no module that the first answer needs imports typing at run time:
annotations stay text there, and `if TYPE_CHECKING:` is false without that import, too.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Type, TypeVar, dataclass_transform

    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda kind: kind


SHA256 = re.compile("[0-9a-f]{64}")
JOB_ID = re.compile("[0-9a-f]{32}")
MAX_TEXT = 800  # characters of a text: the cause and the last output

HINTS: Dict[Type[Any], Dict[str, Any]] = {}


class WireError(ValueError):
    """The other side sent something that is not a record of this protocol."""


class EdgepressError(Exception):
    """The root of the errors of both host packages, pipeline.errors and targets.errors: neither may import the other's, and both
    import this. `message` says what was wrong and with which input, `hint` what to do next. Both are shortened: they quote
    models, files, child processes and boards, whose texts can be of any length.
    """

    exit_code = 5

    def __init__(self, message: str, *, hint: str) -> None:
        self.message, self.hint = shortened(message), shortened(hint)
        super().__init__(self.message)


@dataclass_transform(frozen_default=True)
class Record:
    """Immutable. Its fields are its annotations, in order, without defaults."""

    def __init__(self, *values: Any, **named: Any) -> None:
        names = list(getattr(type(self), "__annotations__", ()))
        given = dict(zip(names, values))  # noqa: B905 - Python 3.8
        if len(values) > len(names) or given.keys() & named.keys() or {*given, *named} != set(names):
            raise TypeError("%s takes %s, not %s" % (type(self).__name__, names, [*given, *named]))
        given.update(named)
        self.__dict__.update((name, given[name]) for name in names)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("%s cannot be changed" % type(self).__name__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % item for item in self.__dict__.items()))


def replace(record: R, **changes: Any) -> R:
    """Return a copy with some fields changed."""
    return type(record)(**{**record.__dict__, **changes})


def to_fields(record: Record) -> Dict[str, Any]:
    """Return the fields for json.dumps. Long texts are shortened: a runtime or program may print any amount."""
    return {
        name: shortened(value) if type(value) is str and len(value) > MAX_TEXT else _plain(value)
        for name, value in record.__dict__.items()
    }


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Keep the head, which says what a message is about, and more of the tail, where programs say why they end."""
    if len(text) <= most:
        return text
    mark = " ... %d characters left out ... " if most > 100 else " ... "
    kept = most - len(mark.replace("%d", str(len(text))))
    head = kept // 3
    return text[:head] + mark.replace("%d", str(len(text) - kept)) + text[len(text) - (kept - head) :]


def from_fields(kind: Type[R], fields: Dict[str, Any]) -> R:
    """Build a record of `kind` from decoded JSON. WireError for a missing or unknown field, or a wrong type."""
    hints = hints_of(kind)
    missing, unknown = sorted(set(hints) - set(fields))[:5], sorted(set(fields) - set(hints))[:5]
    if missing or unknown:
        raise WireError("%s: missing %s, unknown %.200s" % (kind.__name__, missing, unknown))
    return kind(**{name: _value(fields[name], hint, kind.__name__ + "." + name) for name, hint in hints.items()})


def hints_of(kind: Type[Any]) -> Dict[str, Any]:
    """Return the types of a record's fields, by name."""
    if kind not in HINTS:
        import typing

        HINTS[kind] = typing.get_type_hints(kind, localns={"Optional": typing.Optional, "Tuple": typing.Tuple})
    return HINTS[kind]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return to_fields(value)
    if isinstance(value, tuple) and value and not isinstance(value[0], int):  # raw times are long lists of int
        return [_plain(each) for each in value]
    return value


def _value(value: Any, hint: Any, where: str) -> Any:
    origin: Any = getattr(hint, "__origin__", None)
    arguments: Any = getattr(hint, "__args__", None)
    if origin not in (None, tuple):  # Optional[T]
        return None if value is None else _value(value, arguments[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise WireError("%s must be a list, not %s" % (where, type(value).__name__))
        return _items(value, arguments, where)
    if isinstance(hint, type) and issubclass(hint, Record):
        if not isinstance(value, dict):
            raise WireError("%s must be an object, not %s" % (where, type(value).__name__))
        return from_fields(hint, value)
    if type(value) is not hint:  # bool is not an int here
        raise WireError("%s must be %s, not %s" % (where, hint.__name__, type(value).__name__))
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WireError("%s does not fit 64 bits" % where)
    if where.endswith("sha256") and value and not SHA256.fullmatch(value):
        raise WireError("%s must be 64 hexadecimal digits" % where)
    if where.endswith("job_id") and not JOB_ID.fullmatch(value):
        raise WireError("%s must be 32 hexadecimal digits" % where)
    return value


def _items(values: List[Any], arguments: Any, where: str) -> Any:
    if arguments[-1] is Ellipsis:
        if arguments[0] is int and set(map(type, values)) == {int} and -(2**63) <= min(values) <= max(values) < 2**63:
            return tuple(values)  # a million raw times: one by one they take a second
        return tuple(_value(item, arguments[0], where) for item in values)
    if len(values) != len(arguments):
        raise WireError("%s must have %d items, not %d" % (where, len(arguments), len(values)))
    return tuple(_value(item, each, where) for item, each in zip(values, arguments))  # noqa: B905
