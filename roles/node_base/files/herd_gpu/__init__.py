"""Proves that a GPU computes: it finds the devices of an interface and has one run a program.

    herd-gpu vulkan|cuda INDEX [SECONDS [CALLED]]

INDEX counts as the interface itself does: Vulkan in the order of its loader, CUDA by the address on
the bus. SECONDS is how long the driver may take in all; 15 if it is not given. CALLED is the number
of that device in the answer, where it has another one outside: a unit sees no GPU but its own.

Standard output is one line of JSON:

    backend   vulkan or cuda
    devices   of that interface, in its order: index, name, kind (discrete, integrated, virtual,
              software or other), memory_mib, free_mib (all of it where the driver does not say),
              driver
    proof     whether it did: each number of a buffer is what a program on it should have written
    reason    why there is no proof, in a sentence; null if there is one

It ends with 0 if there is a proof, else with 1. A driver is foreign code: it is called in a child
process, so one that hangs or crashes costs nothing but the proof.

Python 3.9 and its standard library: what every node has. There, these modules are one file
(`core/packing.py`).
"""
