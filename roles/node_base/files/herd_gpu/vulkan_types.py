"""Vulkan's structures that a proof needs, with the fields in the order of its headers."""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_float, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, ClassVar, TypeVar

NAME_BYTES = 256
MOST_HEAPS = 16
MOST_TYPES = 32
REST_BYTES = 2048
"""More than the limits take that follow in the structure of a device's properties."""


class Headed(ctypes.Structure):
    """A structure that says its type (`VkStructureType`) and may name a next one."""

    _fields_: ClassVar[Any] = (("type", c_uint32), ("next", c_void_p))
    TYPE = -1


S = TypeVar("S", bound=Headed)


def made(kind: type[S], /, **values: Any) -> S:  # noqa: ANN401 - whatever C has in its fields
    """A structure with these values. It keeps alive what it points at."""
    one = kind()
    one.type = kind.TYPE
    pointers = {name for each in kind.__mro__ for name, *_ in _pointers(each)}
    for name, value in values.items():
        if name in pointers and isinstance(value, (ctypes.Structure, ctypes.Array)):
            setattr(one, name, ctypes.addressof(value))
        else:
            setattr(one, name, value)
    one.kept = values
    return one


def _pointers(kind: type) -> list[Any]:
    return [field for field in vars(kind).get("_fields_", ()) if field[1] is c_void_p]


class Application(Headed):
    """`VkApplicationInfo`."""

    TYPE = 0
    _fields_ = (
        ("name", c_void_p),
        ("version", c_uint32),
        ("engine", c_void_p),
        ("engine_version", c_uint32),
        ("api_version", c_uint32),
    )


class InstanceWish(Headed):
    """`VkInstanceCreateInfo`."""

    TYPE = 1
    _fields_ = (
        ("flags", c_uint32),
        ("application", c_void_p),
        ("layer_count", c_uint32),
        ("layers", c_void_p),
        ("extension_count", c_uint32),
        ("extensions", c_void_p),
    )


class Properties(Headed):
    """`VkPhysicalDeviceProperties2`, without its limits."""

    TYPE = 1_000_059_001
    _fields_ = (
        ("api_version", c_uint32),
        ("driver_version", c_uint32),
        ("vendor", c_uint32),
        ("device", c_uint32),
        ("kind", c_int32),
        ("name", c_char * NAME_BYTES),
        ("rest", c_char * REST_BYTES),
    )


class Driver(Headed):
    """`VkPhysicalDeviceDriverProperties`."""

    TYPE = 1_000_196_000
    _fields_ = (
        ("id", c_uint32),
        ("name", c_char * NAME_BYTES),
        ("info", c_char * NAME_BYTES),
        ("conformance", c_char * 4),
    )


class MemoryType(ctypes.Structure):
    """`VkMemoryType`."""

    _fields_ = (("flags", c_uint32), ("heap", c_uint32))


class MemoryHeap(ctypes.Structure):
    """`VkMemoryHeap`."""

    _fields_ = (("bytes", c_uint64), ("flags", c_uint32))


class MemoryKinds(ctypes.Structure):
    """`VkPhysicalDeviceMemoryProperties`."""

    _fields_ = (
        ("type_count", c_uint32),
        ("types", MemoryType * MOST_TYPES),
        ("heap_count", c_uint32),
        ("heaps", MemoryHeap * MOST_HEAPS),
    )


class Memory(Headed):
    """`VkPhysicalDeviceMemoryProperties2`."""

    TYPE = 1_000_059_006
    _fields_ = (("kinds", MemoryKinds),)


class Budget(Headed):
    """`VkPhysicalDeviceMemoryBudgetPropertiesEXT`."""

    TYPE = 1_000_237_000
    _fields_ = (("budget", c_uint64 * MOST_HEAPS), ("usage", c_uint64 * MOST_HEAPS))


class QueueFamily(ctypes.Structure):
    """`VkQueueFamilyProperties`."""

    _fields_ = (
        ("flags", c_uint32),
        ("count", c_uint32),
        ("timestamp_bits", c_uint32),
        ("granularity", c_uint32 * 3),
    )


class QueueWish(Headed):
    """`VkDeviceQueueCreateInfo`."""

    TYPE = 2
    _fields_ = (
        ("flags", c_uint32),
        ("family", c_uint32),
        ("count", c_uint32),
        ("priorities", c_void_p),
    )


class DeviceWish(Headed):
    """`VkDeviceCreateInfo`."""

    TYPE = 3
    _fields_ = (
        ("flags", c_uint32),
        ("queue_count", c_uint32),
        ("queues", c_void_p),
        ("layer_count", c_uint32),
        ("layers", c_void_p),
        ("extension_count", c_uint32),
        ("extensions", c_void_p),
        ("features", c_void_p),
    )


class BufferWish(Headed):
    """`VkBufferCreateInfo`."""

    TYPE = 12
    _fields_ = (
        ("flags", c_uint32),
        ("bytes", c_uint64),
        ("usage", c_uint32),
        ("sharing", c_uint32),
        ("family_count", c_uint32),
        ("families", c_void_p),
    )


class Needs(ctypes.Structure):
    """`VkMemoryRequirements`."""

    _fields_ = (("bytes", c_uint64), ("alignment", c_uint64), ("types", c_uint32))


class MemoryWish(Headed):
    """`VkMemoryAllocateInfo`."""

    TYPE = 5
    _fields_ = (("bytes", c_uint64), ("kind", c_uint32))


class ShaderWish(Headed):
    """`VkShaderModuleCreateInfo`."""

    TYPE = 16
    _fields_ = (("flags", c_uint32), ("bytes", c_size_t), ("code", c_void_p))


class Binding(ctypes.Structure):
    """`VkDescriptorSetLayoutBinding`."""

    _fields_ = (
        ("binding", c_uint32),
        ("kind", c_uint32),
        ("count", c_uint32),
        ("stages", c_uint32),
        ("samplers", c_void_p),
    )


class SetLayoutWish(Headed):
    """`VkDescriptorSetLayoutCreateInfo`."""

    TYPE = 32
    _fields_ = (("flags", c_uint32), ("count", c_uint32), ("bindings", c_void_p))


class LayoutWish(Headed):
    """`VkPipelineLayoutCreateInfo`."""

    TYPE = 30
    _fields_ = (
        ("flags", c_uint32),
        ("set_count", c_uint32),
        ("sets", c_void_p),
        ("constant_count", c_uint32),
        ("constants", c_void_p),
    )


class Stage(Headed):
    """`VkPipelineShaderStageCreateInfo`."""

    TYPE = 18
    _fields_ = (
        ("flags", c_uint32),
        ("stage", c_uint32),
        ("module", c_uint64),
        ("entry", c_void_p),
        ("specialisation", c_void_p),
    )


class PipelineWish(Headed):
    """`VkComputePipelineCreateInfo`."""

    TYPE = 29
    _fields_ = (
        ("flags", c_uint32),
        ("stage", Stage),
        ("layout", c_uint64),
        ("base", c_uint64),
        ("base_index", c_int32),
    )


class PoolSize(ctypes.Structure):
    """`VkDescriptorPoolSize`."""

    _fields_ = (("kind", c_uint32), ("count", c_uint32))


class SetPoolWish(Headed):
    """`VkDescriptorPoolCreateInfo`."""

    TYPE = 33
    _fields_ = (
        ("flags", c_uint32),
        ("most_sets", c_uint32),
        ("size_count", c_uint32),
        ("sizes", c_void_p),
    )


class SetWish(Headed):
    """`VkDescriptorSetAllocateInfo`."""

    TYPE = 34
    _fields_ = (("pool", c_uint64), ("count", c_uint32), ("layouts", c_void_p))


class BufferPlace(ctypes.Structure):
    """`VkDescriptorBufferInfo`."""

    _fields_ = (("buffer", c_uint64), ("offset", c_uint64), ("bytes", c_uint64))


class SetWrite(Headed):
    """`VkWriteDescriptorSet`."""

    TYPE = 35
    _fields_ = (
        ("set", c_uint64),
        ("binding", c_uint32),
        ("element", c_uint32),
        ("count", c_uint32),
        ("kind", c_uint32),
        ("images", c_void_p),
        ("buffers", c_void_p),
        ("views", c_void_p),
    )


class CommandPoolWish(Headed):
    """`VkCommandPoolCreateInfo`."""

    TYPE = 39
    _fields_ = (("flags", c_uint32), ("family", c_uint32))


class CommandsWish(Headed):
    """`VkCommandBufferAllocateInfo`."""

    TYPE = 40
    _fields_ = (("pool", c_uint64), ("level", c_uint32), ("count", c_uint32))


class Beginning(Headed):
    """`VkCommandBufferBeginInfo`."""

    TYPE = 42
    _fields_ = (("flags", c_uint32), ("inheritance", c_void_p))


class Barrier(Headed):
    """`VkMemoryBarrier`."""

    TYPE = 46
    _fields_ = (("from_access", c_uint32), ("to_access", c_uint32))


class Submission(Headed):
    """`VkSubmitInfo`."""

    TYPE = 4
    _fields_ = (
        ("wait_count", c_uint32),
        ("waits", c_void_p),
        ("wait_stages", c_void_p),
        ("command_count", c_uint32),
        ("commands", c_void_p),
        ("signal_count", c_uint32),
        ("signals", c_void_p),
    )


class FenceWish(Headed):
    """`VkFenceCreateInfo`."""

    TYPE = 8
    _fields_ = (("flags", c_uint32),)


PRIORITIES = (c_float * 1)(1.0)
