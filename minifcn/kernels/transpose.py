"""A matrix turned on its side: what is a stride apart comes to lie side by side, ready for vectors.

A square of LANES x LANES numbers is read row by row, turned within the registers and written column by column; so
no number is fetched by itself.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from minifcn.kernels.jit import CHECKED, kernel
from minifcn.kernels.vector import LANES, load_lanes, store_lanes


def _turning(part):
    @intrinsic
    def turn(typing, a, at, row, b, to, column, rows, columns):
        """b[to + c column + r] = a[at + r row + c], for LANES rows and columns, or for the first ones.

        Two vectors can change places of halves: the upper half of one for the lower half of the other. Done with
        halves, then with quarters and so on down to single numbers, that turns the square on its side.
        """

        def generate(context, builder, signature, args):
            a, at, row, b, to, column, rows, columns = args
            a_type, b_type, index, lane = signature.args[0], signature.args[3], at.type, ir.IntType(32)

            def vector(k, kind, array, first, step, many, of):
                """Where vector k starts and how many lanes it has; one that is not there has none, at the first."""
                start = builder.add(first, builder.mul(step, index(k)))
                if not part:
                    return kind, array, start, None
                there = builder.icmp_signed("<", index(k), many)
                start, count = (builder.select(there, *pair) for pair in ((start, first), (of, index(0))))
                return kind, array, start, count

            vectors = []
            for r in range(LANES):
                vectors.append(load_lanes(context, builder, *vector(r, a_type, a, at, row, rows, columns)))
            size = 1
            while size < LANES:
                lower = [k if not k & size else LANES + k - size for k in range(LANES)]
                upper = [k + size if not k & size else LANES + k for k in range(LANES)]
                masks = [ir.Constant(ir.VectorType(lane, LANES), mask) for mask in (lower, upper)]
                for k in range(LANES):
                    if not k & size:
                        pair = vectors[k], vectors[k + size]
                        vectors[k], vectors[k + size] = (
                            builder.shuffle_vector(*pair, mask) for mask in masks
                        )
                size *= 2
            for c, value in enumerate(vectors):
                *place, count = vector(c, b_type, b, to, column, columns, rows)
                store_lanes(context, builder, *place, value, count)
            return context.get_dummy_value()

        whole = types.intp
        return types.void(a, whole, whole, b, whole, whole, whole, whole), generate

    return turn


_turn, _turn_part = _turning(part=False), _turning(part=True)


def _square_inside(turn):
    @njit
    def turn_inside(a, at, row, b, to, column, rows, columns):
        for array, first, step, many, of in ((a, at, row, rows, columns), (b, to, column, columns, rows)):
            last = first + (many - 1) * step
            if min(first, last) < 0 or max(first, last) + of > array.size:
                raise IndexError("a square that is turned reaches outside its array")
        turn(a, at, row, b, to, column, rows, columns)

    return turn_inside


if CHECKED:
    _turn, _turn_part = _square_inside(_turn), _square_inside(_turn_part)


@kernel
def transpose(rows, columns, a, at, row, b, to, column):
    """b[to + c column + r] = a[at + r row + c] for so many rows and columns."""
    for c in range(0, columns, LANES):
        for r in range(0, rows, LANES):
            here, there = min(LANES, rows - r), min(LANES, columns - c)
            start, end = at + r * row + c, to + c * column + r
            if here == LANES and there == LANES:
                _turn(a, start, row, b, end, column, LANES, LANES)
            else:
                _turn_part(a, start, row, b, end, column, here, there)
