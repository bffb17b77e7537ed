"""The teacher of a training: opened, and brought to the order of its student's inputs and outputs."""

from collections.abc import Sequence

from pipeline import frameworks, units
from pipeline.compress.context import Context
from pipeline.compress.rows import inputs_of, outputs_of
from pipeline.compress.settings import Distill
from pipeline.errors import PlanError
from pipeline.frameworks.types import KerasModel
from pipeline.records import TensorSpec


def open_teacher(
    settings: Distill, context: Context, student: KerasModel
) -> tuple[KerasModel, tuple[int, ...], tuple[int, ...]]:
    """The teacher, with where its inputs stand among the student's, and where the student's outputs stand among its own."""
    if settings.teacher is not None:
        path = context.folder / settings.teacher
        if not path.is_file():
            raise PlanError(
                f"distill.teacher: there is no file {path}",
                hint="Give the path of a .keras file, relative to the plan.",
            )
        teacher = frameworks.open_keras(path)
    elif context.original is not None:
        teacher = context.original()
    else:
        raise PlanError("distill needs a teacher", hint="Give distill.teacher, the path of a .keras file.")
    orders = []
    for what, sides in (
        ("input", (inputs_of(teacher), inputs_of(student))),
        ("output", (outputs_of(teacher), outputs_of(student))),
    ):
        of_teacher, of_student = sides
        if len(of_teacher) != len(of_student):
            raise PlanError(
                f"distill: the teacher has {units.counted(len(of_teacher), what)}, and the student {len(of_student)}",
                hint="The teacher must take the same rows and answer the same question: name another in distill.teacher.",
            )
        order = _order(of_teacher, of_student)
        orders.append(order)
        for place, each in enumerate(of_student):
            other, name = of_teacher[order[place]], f" '{each.name}'" if len(of_student) > 1 else ""
            if _free(other) != _free(each):
                raise PlanError(
                    f"distill: the teacher's {what}{name} has shape {units.shape(_free(other))}, and the student's {units.shape(_free(each))}",
                    hint="The teacher must take the same rows and answer the same question: name another in distill.teacher.",
                )
    inputs, gives = orders
    return teacher, tuple(inputs.index(place) for place in range(len(inputs))), tuple(gives)


def _order(of_teacher: Sequence[TensorSpec], of_student: Sequence[TensorSpec]) -> list[int]:
    """Where each of the student's stands among the teacher's: by name, or by place where the names are others."""
    names = [each.name for each in of_teacher]
    if sorted(names) != sorted(each.name for each in of_student):
        return list(range(len(names)))
    return [names.index(each.name) for each in of_student]


def _free(spec: TensorSpec) -> tuple[int | None, ...] | None:
    return None if spec.shape is None else spec.shape[1:]
