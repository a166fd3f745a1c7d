"""How fast the node multiplies and adds floats: a loop that its own compiler makes for it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from herd_probe.ground import SECONDS, rates, remark, report

COMPILERS = ("cc", "gcc", "g++", "clang")
NATIVE = ("-march=native", "-mcpu=native", "-O3")
"""Options for this processor: not every compiler has the first of them for every processor;
the last one changes nothing."""
COMPILE_S = 30
REPEATS = 2
STEPS = 50_000
SOURCE = """
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float lanes __attribute__((vector_size(BYTES)));
#define CHAINS 10
/* Each chain needs its own last result; ten of them keep every unit of a processor busy. */
#ifdef __cplusplus
extern "C"
#endif
double spin(long steps, double *flop) {
    lanes chain[CHAINS], factor = {0}, summand = {0};
    factor += 0.999f;
    summand += 0.001f;
    for (int c = 0; c < CHAINS; c++) chain[c] = summand * (float)c;
    for (long step = 0; step < steps; step++) {
#pragma GCC unroll 10
        for (int c = 0; c < CHAINS; c++) chain[c] = chain[c] * factor + summand;
    }
    lanes sum = {0};
    for (int c = 0; c < CHAINS; c++) sum += chain[c];
    *flop = 2.0 * CHAINS * (BYTES / sizeof(float)) * steps;
    return sum[0];
}
"""
"""`spin` says how many multiplications and additions it made; its result cannot be left out."""
LEAST, MOST = 5.0, 15.0
"""Of its result: ten numbers that have come near 1."""


class Loop:
    """The loop, compiled."""

    def __init__(self, library: str) -> None:
        self._spin = ctypes.CDLL(library).spin
        self._spin.restype = ctypes.c_double
        self._spin.argtypes = (ctypes.c_long, ctypes.POINTER(ctypes.c_double))

    def __call__(self, _number: int) -> float:
        """Run it; how many multiplications and additions that were."""
        flop = ctypes.c_double()
        if not LEAST < self._spin(STEPS, ctypes.byref(flop)) < MOST:
            raise SystemExit("the loop of arithmetic has a wrong result")
        return flop.value


def measure(threads: int) -> None:
    """Measure and report it."""
    compilers = list(found())
    if not compilers:
        remark("the arithmetic was not measured: there is no C compiler (sudo apt install gcc)")
        return
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/loop.so"
        for compiler in compilers:
            for native in NATIVE:
                if compiled(compiler, native, library):
                    try:
                        loop = Loop(library)
                    except OSError as error:  # a folder from which nothing may be executed
                        remark(f"the arithmetic was not measured: {error}")
                        return
                    tell(loop, f"{Path(compiler).name} {native}", threads)
                    return
    remark(f"the arithmetic was not measured: {' and '.join(compilers)} did not compile its loop")


def found() -> Iterator[str]:
    """Compilers that are there."""
    for name in COMPILERS:
        path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        if path:
            yield path


def compiled(compiler: str, native: str, library: str) -> bool:
    """Whether a compiler made the loop with an option."""
    argv = [compiler, "-O3", native, "-shared", "-fPIC", "-x", "c", "-", "-o", library]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": "/tmp"}  # noqa: S108 - the unit's own
    try:
        done = subprocess.run(
            argv,
            input=SOURCE.encode(),
            capture_output=True,
            check=False,
            timeout=COMPILE_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def tell(loop: Loop, compiler: str, threads: int) -> None:
    """Report how fast it is, alone and in all threads."""
    one = rates(loop, 1, SECONDS, REPEATS)
    everyone = rates(loop, threads, SECONDS, REPEATS) if threads > 1 else one
    report(
        "arithmetic",
        compiler=compiler,
        one=[rate / 1e9 for rate in one],
        all=[rate / 1e9 for rate in everyone],
    )
