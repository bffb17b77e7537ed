"""How much memory the values between operators take at once, by their lives in the order of the file."""

from pipeline.audit.graph import Graph, Value


def peak_bytes(graph: Graph) -> int | None:
    """Return the largest sum of the values that are alive at one operator; None where a size is not known.

    It is the least that an arena can be: runtimes place values at offsets, which leaves gaps, and kernels ask for more.
    """
    if graph.open_inputs:
        return None
    main = graph.main()
    last: dict[str, int] = {each.key: len(main) for each in graph.outputs}
    values: dict[str, Value] = {each.key: each for each in graph.inputs if not each.constant}
    first: dict[str, int] = dict.fromkeys(values, 0)
    for number, operator in enumerate(main):
        for value in operator.moving:
            values[value.key] = value
            first.setdefault(value.key, number)
            last[value.key] = max(last.get(value.key, 0), number)
    changes = [0] * (len(main) + 2)
    for key, value in values.items():
        size = value.size_bytes
        if size is None:
            return None
        changes[first[key]] += size
        changes[last.get(key, first[key]) + 1] -= size
    most = now = 0
    for change in changes:
        now += change
        most = max(most, now)
    return most


def constant_bytes(graph: Graph) -> int | None:
    """Return the size of all that the file holds; None where the size of one of these is not known."""
    sizes = [each.size_bytes for each in graph.constants]
    return None if None in sizes else sum(each or 0 for each in sizes)
