"""Runs of floating point operators in a file that computes in integers: each costs a border on both sides."""

from collections.abc import Sequence

from pipeline.audit.kinds import BORDERS, FLOAT, FLOAT16, INTEGERS, PASSED, Computed, Links
from pipeline.records.audit import Island

REAL_KINDS = frozenset({FLOAT, FLOAT16})


def islands(operators: Sequence[Computed]) -> tuple[Island, ...]:
    """Return the islands, the one with the most multiply-accumulates first. A file without integer operators has none."""
    main = [each for each in operators if each.operator.graph == 0]
    if not any(each.kind in INTEGERS for each in main):
        return ()
    links = Links(each.operator for each in main)
    by_output = {made.key: number for number, each in enumerate(main) for made in each.operator.outputs}
    seen: set[int] = set()
    found = []
    for number, each in enumerate(main):
        if number in seen or not _is_land(each):
            continue
        group = _group(number, main, links, by_output)
        seen |= group
        found.append(_island([main[place] for place in sorted(group)]))
    return tuple(sorted(found, key=lambda each: (-(each.macs or 0), -each.operators)))


def _is_land(each: Computed) -> bool:
    return each.kind in REAL_KINDS and each.operator.kind not in BORDERS


def _group(start: int, main: Sequence[Computed], links: Links, by_output: dict[str, int]) -> set[int]:
    group, todo = {start}, [start]
    by_identity = {id(each.operator): number for number, each in enumerate(main)}
    while todo:
        operator = main[todo.pop()].operator
        near = [by_output[value.key] for value in operator.inputs if value is not None and value.key in by_output]
        near += [by_identity[id(reader)] for made in operator.outputs for reader in links.readers.get(made.key, [])]
        for number in near:
            if number not in group and _is_land(main[number]):
                group.add(number)
                todo.append(number)
    return group


def _island(group: Sequence[Computed]) -> Island:
    """The first operator that computes is taken for the reason: those that only give values on follow it or lead to it."""
    maker = next((each for each in group if each.operator.kind not in PASSED), group[0]).operator
    macs = [each.operator.macs for each in group]
    return Island(
        maker=maker.kind,
        at=maker.name,
        operators=len(group),
        kinds=tuple(sorted({each.operator.kind for each in group})),
        macs=None if None in macs else sum(each or 0 for each in macs),
    )
