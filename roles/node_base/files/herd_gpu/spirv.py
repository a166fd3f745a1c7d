"""The program of Vulkan's proof: writes into each place of a buffer its number times FACTOR."""

from __future__ import annotations

import ctypes
from itertools import count

FACTOR = 2_654_435_761
THREADS = 64
"""That one group of the program has."""
ENTRY = b"main"
MAGIC, VERSION = 0x07230203, 0x00010000

# Operations of SPIR-V 1.0.
MEMORY_MODEL, ENTRY_POINT, EXECUTION_MODE, CAPABILITY = 14, 15, 16, 17
TYPE_VOID, TYPE_INT, TYPE_VECTOR, TYPE_RUNTIME_ARRAY, TYPE_STRUCT = 19, 21, 23, 29, 30
TYPE_POINTER, TYPE_FUNCTION, CONSTANT, FUNCTION, FUNCTION_END = 32, 33, 43, 54, 56
VARIABLE, LOAD, STORE, ACCESS_CHAIN, DECORATE, MEMBER_DECORATE = 59, 61, 62, 65, 71, 72
COMPOSITE_EXTRACT, MULTIPLY, LABEL, RETURN = 81, 132, 248, 253

# What they are given.
SHADER, GLSL450, COMPUTE, LOCAL_SIZE = 1, 1, 5, 17
BUFFER_BLOCK, ARRAY_STRIDE, BUILT_IN, BINDING, SET, OFFSET = 3, 6, 11, 33, 34, 35
GLOBAL_INVOCATION, INPUT, UNIFORM = 28, 1, 2

_numbers = count(1)
MAIN, PLACE, ARRAY, BLOCK, BUFFER, VOID, KIND, WORD = (next(_numbers) for _ in range(8))
TRIPLE, TRIPLE_IN, BLOCK_IN, WORD_IN, ZERO, TIMES = (next(_numbers) for _ in range(6))
START, ALL, OWN, TARGET, PRODUCT = (next(_numbers) for _ in range(5))
BOUND = next(_numbers)

_NAME = tuple(int.from_bytes(part, "little") for part in (ENTRY, bytes(4)))
_LINES = (
    (CAPABILITY, SHADER),
    (MEMORY_MODEL, 0, GLSL450),
    (ENTRY_POINT, COMPUTE, MAIN, *_NAME, PLACE),
    (EXECUTION_MODE, MAIN, LOCAL_SIZE, THREADS, 1, 1),
    (DECORATE, PLACE, BUILT_IN, GLOBAL_INVOCATION),
    (DECORATE, ARRAY, ARRAY_STRIDE, 4),
    (DECORATE, BLOCK, BUFFER_BLOCK),
    (MEMBER_DECORATE, BLOCK, 0, OFFSET, 0),
    (DECORATE, BUFFER, SET, 0),
    (DECORATE, BUFFER, BINDING, 0),
    (TYPE_VOID, VOID),
    (TYPE_FUNCTION, KIND, VOID),
    (TYPE_INT, WORD, 32, 0),
    (TYPE_VECTOR, TRIPLE, WORD, 3),
    (TYPE_POINTER, TRIPLE_IN, INPUT, TRIPLE),
    (VARIABLE, TRIPLE_IN, PLACE, INPUT),
    (TYPE_RUNTIME_ARRAY, ARRAY, WORD),
    (TYPE_STRUCT, BLOCK, ARRAY),
    (TYPE_POINTER, BLOCK_IN, UNIFORM, BLOCK),
    (VARIABLE, BLOCK_IN, BUFFER, UNIFORM),
    (CONSTANT, WORD, ZERO, 0),
    (CONSTANT, WORD, TIMES, FACTOR),
    (TYPE_POINTER, WORD_IN, UNIFORM, WORD),
    (FUNCTION, VOID, MAIN, 0, KIND),
    (LABEL, START),
    (LOAD, TRIPLE, ALL, PLACE),
    (COMPOSITE_EXTRACT, WORD, OWN, ALL, 0),
    (ACCESS_CHAIN, WORD_IN, TARGET, BUFFER, ZERO, OWN),
    (MULTIPLY, WORD, PRODUCT, OWN, TIMES),
    (STORE, TARGET, PRODUCT),
    (RETURN,),
    (FUNCTION_END,),
)


def program() -> ctypes.Array[ctypes.c_uint32]:
    """The words of the program, as a driver takes them."""
    words = [MAGIC, VERSION, 0, BOUND, 0]
    for operation, *operands in _LINES:
        words += [(len(operands) + 1) << 16 | operation, *operands]
    return (ctypes.c_uint32 * len(words))(*words)
