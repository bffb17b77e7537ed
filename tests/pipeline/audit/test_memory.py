"""The peak of the values that are alive at once, against counting them operator by operator."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import memory
from pipeline.audit.graph import Graph, Operator, Value


def value(number, size, **more):
    return Value(str(number), str(number), "int8", (size,), **more)


@st.composite
def chains(draw):
    """Operators that read any of the values before them."""
    values = [value(0, draw(st.integers(1, 100)))]
    operators = []
    for number in range(1, draw(st.integers(2, 8))):
        read = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
        values.append(value(number, draw(st.integers(1, 100))))
        operators.append(Operator("ADD", 1, "", tuple(read), (values[-1],), 0))
    return Graph("tflite", tuple(operators), (values[0],), (draw(st.sampled_from(values)),), ())


@given(chains())
def test_the_peak_is_that_of_the_fullest_operator(graph):
    sizes = []
    for now, operator in enumerate(graph.operators):
        alive = {operator.outputs[0].key: operator.outputs[0]} | {each.key: each for each in operator.inputs}
        made = {each.outputs[0].key: each.outputs[0] for each in graph.operators[:now]} | {
            graph.inputs[0].key: graph.inputs[0]
        }
        later = {each.key for other in graph.operators[now:] for each in other.inputs} | {graph.outputs[0].key}
        alive |= {key: each for key, each in made.items() if key in later}
        sizes.append(sum(each.shape[0] for each in alive.values()))
    assert memory.peak_bytes(graph) == max(sizes)


def test_what_is_not_known_gives_no_figure():
    unknown = Value("1", "1", "", None)
    graph = Graph("onnx", (Operator("Mine", 1, "", (value(0, 3),), (unknown,), 0),), (value(0, 3),), (unknown,), ())
    assert memory.peak_bytes(graph) is None
    assert memory.constant_bytes(graph) == 0
    assert memory.constant_bytes(graph._replace(constants=(Value("w", "w", "int4", (3, 3)), value(5, 7)))) == 5 + 7
