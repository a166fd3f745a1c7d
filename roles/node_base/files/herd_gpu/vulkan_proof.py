"""One program on one device of Vulkan, from its buffer to the numbers in it."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_uint32, c_uint64, c_void_p
from typing import Protocol

from herd_gpu.ground import BUFFER_BYTES, COUNT, GpuError
from herd_gpu.spirv import ENTRY, THREADS, program
from herd_gpu.vulkan_types import (
    MOST_TYPES,
    PRIORITIES,
    Barrier,
    Beginning,
    Binding,
    BufferPlace,
    BufferWish,
    CommandPoolWish,
    CommandsWish,
    DeviceWish,
    FenceWish,
    Headed,
    LayoutWish,
    MemoryKinds,
    MemoryWish,
    Needs,
    PipelineWish,
    PoolSize,
    QueueFamily,
    QueueWish,
    SetLayoutWish,
    SetPoolWish,
    SetWish,
    SetWrite,
    ShaderWish,
    Stage,
    Submission,
    made,
)

MOST_FAMILIES = 16
COMPUTE_QUEUE = 2
REACHED_BY_CPU = 2 | 4
"""Visible to the CPU, and without flushing."""
STORAGE_BUFFER = 0x20
DESCRIPTOR = 7
"""A storage buffer, as a descriptor."""
COMPUTE_STAGE = 0x20
COMPUTING, READING = 0x800, 0x4000
WRITTEN, READ = 0x40, 0x2000
ONCE = 1
LONGEST_NS = 600 * 10**9
UNTOUCHED = 0xFF


class Functions(Protocol):
    """Vulkan's functions."""

    def do(self, name: str, *arguments: object) -> None:
        """Call one; raises GpuError if it fails."""

    def call(self, name: str, *arguments: object) -> None:
        """Call one that has no result."""


class Maker:
    """A device, and what is made on it."""

    def __init__(self, vulkan: Functions, physical: c_void_p) -> None:
        self.vulkan = vulkan
        self.family = compute_family(vulkan, physical)
        queues = made(QueueWish, family=self.family, count=1, priorities=PRIORITIES)
        wish = made(DeviceWish, queue_count=1, queues=queues)
        self.device = c_void_p()
        vulkan.do("vkCreateDevice", physical, byref(wish), None, byref(self.device))

    def create(self, what: str, wish: Headed) -> int:
        """Make an object of a kind; its handle."""
        handle = c_uint64()
        self.vulkan.do(f"vkCreate{what}", self.device, byref(wish), None, byref(handle))
        return handle.value


def computed(vulkan: Functions, physical: c_void_p) -> ctypes.Array[ctypes.c_uint32]:
    """What the program writes into a buffer on a device. Raises GpuError if it cannot."""
    maker = Maker(vulkan, physical)
    usage = made(BufferWish, bytes=BUFFER_BYTES, usage=STORAGE_BUFFER)
    buffer = maker.create("Buffer", usage)
    numbers = mapped(maker, physical, buffer)
    ctypes.memset(numbers, UNTOUCHED, BUFFER_BYTES)
    run(maker, commands_for(maker, buffer))
    return numbers


def compute_family(vulkan: Functions, physical: c_void_p) -> int:
    """The first family of queues that computes."""
    count = c_uint32(MOST_FAMILIES)
    families = (QueueFamily * MOST_FAMILIES)()
    vulkan.call("vkGetPhysicalDeviceQueueFamilyProperties", physical, byref(count), families)
    for number in range(min(count.value, MOST_FAMILIES)):
        if families[number].flags & COMPUTE_QUEUE:
            return number
    raise GpuError("The device has no queue that computes.")


def mapped(maker: Maker, physical: c_void_p, buffer: int) -> ctypes.Array[ctypes.c_uint32]:
    """The numbers of a buffer, in memory that the CPU reaches too."""
    needs = Needs()
    maker.vulkan.call("vkGetBufferMemoryRequirements", maker.device, c_uint64(buffer), byref(needs))
    wish = made(MemoryWish, bytes=needs.bytes, kind=memory_kind(maker, physical, needs.types))
    memory = c_uint64()
    maker.vulkan.do("vkAllocateMemory", maker.device, byref(wish), None, byref(memory))
    maker.vulkan.do("vkBindBufferMemory", maker.device, c_uint64(buffer), memory, c_uint64(0))
    place = c_void_p()
    maker.vulkan.do(
        "vkMapMemory",
        maker.device,
        memory,
        c_uint64(0),
        c_uint64(BUFFER_BYTES),
        c_uint32(0),
        byref(place),
    )
    if not place.value:
        raise GpuError("Vulkan's vkMapMemory gave no memory.")
    return (c_uint32 * COUNT).from_address(place.value)


def memory_kind(maker: Maker, physical: c_void_p, fitting: int) -> int:
    """The first kind of memory that fits and that the CPU reaches."""
    kinds = MemoryKinds()
    maker.vulkan.call("vkGetPhysicalDeviceMemoryProperties", physical, byref(kinds))
    for number in range(min(kinds.type_count, MOST_TYPES)):
        reached = kinds.types[number].flags & REACHED_BY_CPU
        if reached == REACHED_BY_CPU and fitting >> number & 1:
            return number
    raise GpuError("The device has no memory that the CPU reaches.")


def commands_for(maker: Maker, buffer: int) -> c_void_p:
    """Commands that run the program on a buffer."""
    binding = Binding(0, DESCRIPTOR, 1, COMPUTE_STAGE, None)
    set_layout = maker.create("DescriptorSetLayout", made(SetLayoutWish, count=1, bindings=binding))
    set_layouts = (c_uint64 * 1)(set_layout)
    layout = maker.create("PipelineLayout", made(LayoutWish, set_count=1, sets=set_layouts))
    pipeline = compiled(maker, layout)
    sets = (c_uint64 * 1)(described_buffer(maker, set_layouts, buffer))
    pool = maker.create("CommandPool", made(CommandPoolWish, family=maker.family))
    wish = made(CommandsWish, pool=pool, count=1)
    commands = c_void_p()
    call = maker.vulkan.call
    maker.vulkan.do("vkAllocateCommandBuffers", maker.device, byref(wish), byref(commands))
    maker.vulkan.do("vkBeginCommandBuffer", commands, byref(made(Beginning, flags=ONCE)))
    call("vkCmdBindPipeline", commands, c_uint32(1), pipeline)
    bound = (c_uint32(0), c_uint32(1), sets, c_uint32(0), None)
    call("vkCmdBindDescriptorSets", commands, c_uint32(1), c_uint64(layout), *bound)
    call("vkCmdDispatch", commands, c_uint32(COUNT // THREADS), c_uint32(1), c_uint32(1))
    barrier = made(Barrier, from_access=WRITTEN, to_access=READ)
    rest = (c_uint32(0), c_uint32(1), byref(barrier), c_uint32(0), None, c_uint32(0), None)
    call("vkCmdPipelineBarrier", commands, c_uint32(COMPUTING), c_uint32(READING), *rest)
    maker.vulkan.do("vkEndCommandBuffer", commands)
    return commands


def compiled(maker: Maker, layout: int) -> c_uint64:
    """The program, compiled by the driver for the device."""
    code = program()
    module = maker.create("ShaderModule", made(ShaderWish, bytes=ctypes.sizeof(code), code=code))
    entry = ctypes.create_string_buffer(ENTRY)
    stage = made(Stage, stage=COMPUTE_STAGE, module=module, entry=entry)
    wish = made(PipelineWish, stage=stage, layout=layout)
    pipeline = c_uint64()
    maker.vulkan.do(
        "vkCreateComputePipelines",
        maker.device,
        c_uint64(0),
        c_uint32(1),
        byref(wish),
        None,
        byref(pipeline),
    )
    return pipeline


def described_buffer(maker: Maker, layouts: ctypes.Array[c_uint64], buffer: int) -> int:
    """A set of descriptors that names the buffer."""
    size = PoolSize(DESCRIPTOR, 1)
    pool = maker.create("DescriptorPool", made(SetPoolWish, most_sets=1, size_count=1, sizes=size))
    wish = made(SetWish, pool=pool, count=1, layouts=layouts)
    descriptors = c_uint64()
    maker.vulkan.do("vkAllocateDescriptorSets", maker.device, byref(wish), byref(descriptors))
    place = BufferPlace(buffer, 0, BUFFER_BYTES)
    write = made(SetWrite, set=descriptors.value, count=1, kind=DESCRIPTOR, buffers=place)
    none = (c_uint32(0), None)
    maker.vulkan.call("vkUpdateDescriptorSets", maker.device, c_uint32(1), byref(write), *none)
    return descriptors.value


def run(maker: Maker, commands: c_void_p) -> None:
    """Have the device do the commands, and wait for it."""
    queue = c_void_p()
    maker.vulkan.call(
        "vkGetDeviceQueue", maker.device, c_uint32(maker.family), c_uint32(0), byref(queue)
    )
    fence = maker.create("Fence", made(FenceWish))
    listed = (c_void_p * 1)(commands)
    submission = made(Submission, command_count=1, commands=listed)
    maker.vulkan.do("vkQueueSubmit", queue, c_uint32(1), byref(submission), c_uint64(fence))
    fences = (c_uint64 * 1)(fence)
    wait = (c_uint32(1), c_uint64(LONGEST_NS))
    maker.vulkan.do("vkWaitForFences", maker.device, c_uint32(1), fences, *wait)
