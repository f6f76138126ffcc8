"""Places of vectors in one array, used again when their time is over."""

from deploy.c.generator.program import (
    Binary,
    Cell,
    Column,
    Dense,
    Layer,
    Program,
    Unary,
    Update,
    Vector,
)

#: Kernels write up to the next multiple of this, and read up to one of 8.
_ALIGNMENT = 4


class Arena:
    """First-fit places by the time that each vector is needed.

    ``gathered`` are the places of the joined columns of a layer, by its id().
    """

    def __init__(self, program: Program) -> None:
        end = len(program.operations)
        born: dict = {program.features: -1}
        last: dict = {program.features: -1}
        sizes: dict = {program.features: program.features.size}
        self.gathered: dict[int, int] = {}
        for time, op in enumerate(program.operations):
            for column in _read_by(op):
                if isinstance(column.source, Vector):
                    last[column.source] = time
            out = getattr(op, "out", None)
            if out is not None:
                born[out], last[out] = time, time
                sizes[out] = out.size
            if isinstance(op, Dense) and len(op.inputs) > 1:
                key = id(op)
                born[key] = last[key] = time
                sizes[key] = sum(c.size for c in op.inputs)
        last[program.mask.source] = end
        places: dict = {}
        for key in sorted(born, key=lambda k: (born[k], -sizes[k])):
            places[key] = self._place(key, places, born, last, sizes)
        self.places = {k: v for k, v in places.items() if isinstance(k, Vector)}
        self.gathered = {k: v for k, v in places.items() if isinstance(k, int)}
        end = max(places[k] + sizes[k] for k in places)
        self.size = -(-end // _ALIGNMENT) * _ALIGNMENT + 8

    def _place(self, key, places, born, last, sizes) -> int:
        busy = sorted(
            (places[k], places[k] + sizes[k])
            for k in places
            if born[k] <= last[key] and last[k] >= born[key]
        )
        at = 0
        for start, end in busy:
            if at + sizes[key] <= start:
                break
            at = max(at, -(-end // _ALIGNMENT) * _ALIGNMENT)
        return at


def _read_by(op) -> list[Column]:
    if isinstance(op, Layer):
        return op.inputs
    if isinstance(op, Binary):
        return [op.first, op.second]
    if isinstance(op, Cell):
        return [op.forget, op.input, op.gate]
    if isinstance(op, Unary):
        return [op.source]
    return [op.column] if isinstance(op, Update) else []
