"""Measures what a node and its links can do, without any engine.

    herd-probe node MIB THREADS      memory and arithmetic of this node
    herd-probe listen ADDRESS PORT   answer the two others until it is ended
    herd-probe links PORT ADDRESS …  latency and rate to programs that listen, one after the other

Standard output is lines of JSON:

    {"kind": "memory", "loop": …, "array_mib": …, "cache_mib": …, "one": [GB/s …], "all": [GB/s …]}
    {"kind": "arithmetic", "compiler": …, "one": [GFLOP/s …], "all": [GFLOP/s …]}
    {"kind": "link", "address": …, "half_us": [lower quartile, median, upper quartile],
     "exchanges": …, "out": [bytes, seconds], "in": [bytes, seconds]}
    {"kind": "remark", "text": …}   what was not measured, and why; with `address` for a link
    {"kind": "end"}                 the last line of a program that did all of it

Memory is read by functions of the C library, which call no Python while they read and let all
threads work at once. Reading is what an engine does with weights. Arithmetic needs a compiler,
because nothing that every node has multiplies floats as fast as its processor can: a node without a
compiler has no such figure. It needs only Python 3.9 and its standard library, and runs as user
`herd`. On a node these modules are one file (`core/packing.py`).
"""
