"""How fast the node reads its memory, by loops of its C library."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

from herd_probe.ground import REPEATS, SECONDS, rates, remark, report

PROCESSORS = Path("/sys/devices/system/cpu")
CACHES = "cpu[0-9]*/cache/index[0-9]*"
TIMES_CACHE = 8
"""Array to last cache: what is read again has then left the cache."""
LEAST_TIMES_CACHE = 4
USUAL_MIB, LEAST_MIB = 256, 8
TRY_S = 0.05
PIECE_BYTES = 16 << 20
"""Read between two looks at the clock."""
FILL = 1
ABSENT = 0
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def cache_bytes() -> int:
    """The last caches of all cores together; 0 where the kernel does not say."""
    found = {}
    for folder in PROCESSORS.glob(CACHES):
        level, size, shared, kind = (
            content(folder / name) for name in ("level", "size", "shared_cpu_list", "type")
        )
        if level.isdigit() and size[:-1].isdigit() and kind != "Instruction":
            found[int(level), shared] = int(size[:-1]) * UNITS.get(size[-1], 0)
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last)


def content(path: Path) -> str:
    """What a small file says; empty if there is no such."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def array_mib(most_mib: int, cache: int) -> int:
    """How much is to be read, in MiB."""
    return min(most_mib, max(USUAL_MIB, cache * TIMES_CACHE >> 20))


class Array:
    """Memory that holds no zero, in as many parts as there are threads.

    Args:
        mib: its size.
        threads: each reads its part, and wrote it: a machine with several memories then keeps it
            next to the thread.
    """

    def __init__(self, mib: int, threads: int) -> None:
        size = mib << 20
        self._memory = mmap.mmap(-1, size)
        self._begin = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._part = size // threads // mmap.PAGESIZE * mmap.PAGESIZE
        self._whole = self._part * threads
        self._threads = threads
        library = ctypes.CDLL(None)
        pointer, number, length = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
        self._memset = library.memset
        self._memset.restype = pointer
        self._memset.argtypes = (pointer, number, length)
        self._memchr = library.memchr
        self._memchr.restype = pointer
        self._memchr.argtypes = (pointer, number, length)
        self._memcmp = library.memcmp
        self._memcmp.restype = number
        self._memcmp.argtypes = (pointer, pointer, length)
        self.loops = {"memchr": self.search, "memcmp": self.compare}

    def fill(self, number: int) -> float:
        """Write a part, so that it is real memory and not the kernel's page of zeros."""
        self._memset(self._begin + number * self._part, FILL, self._part)
        return float(self._part)

    def search(self, begin: int, size: int) -> None:
        """Read for a byte that is not there."""
        if self._memchr(begin, ABSENT, size):
            raise SystemExit("the memory does not hold what was written to it")

    def compare(self, begin: int, size: int) -> None:
        """Read two halves, which are equal."""
        if self._memcmp(begin, begin + size // 2, size // 2):
            raise SystemExit("the memory does not hold what was written to it")

    def measured(self, loop: str, seconds: float, repeats: int, *, alone: bool) -> list[float]:
        """Bytes read in a second: by one thread all of it, or by each thread its part."""
        read = self.loops[loop]
        size = self._whole if alone else self._part
        done = [0] * self._threads

        def work(number: int) -> float:
            piece = min(PIECE_BYTES, size - done[number])
            read(self._begin + number * size + done[number], piece)
            done[number] = (done[number] + piece) % size
            return float(piece)

        return rates(work, 1 if alone else self._threads, seconds, repeats)


def measure(most_mib: int, threads: int) -> None:
    """Measure and report it."""
    cache = cache_bytes()
    mib = array_mib(most_mib, cache)
    if mib < LEAST_MIB:
        remark(f"the memory was not measured: {most_mib} MiB are free for it, {LEAST_MIB} needed")
        return
    try:
        array = Array(mib, threads)
        rates(array.fill, threads, 0.0, 1)
    except (OSError, MemoryError) as error:
        remark(f"the memory was not measured: {mib} MiB cannot be had ({error})")
        return
    if mib << 20 < cache * LEAST_TIMES_CACHE:
        remark(
            f"only {mib} MiB of memory were free to be read, and the caches have {cache >> 20} "
            "MiB: the figures of memory are too high"
        )
    tried = {loop: max(array.measured(loop, TRY_S, 2, alone=True)) for loop in array.loops}
    loop = max(tried, key=lambda one: tried[one])
    one = array.measured(loop, SECONDS, REPEATS, alone=True)
    everyone = array.measured(loop, SECONDS, REPEATS, alone=False) if threads > 1 else one
    report(
        "memory",
        loop=loop,
        array_mib=mib,
        cache_mib=-(-cache >> 20) if cache else None,
        one=[rate / 1e9 for rate in one],
        all=[rate / 1e9 for rate in everyone],
    )
