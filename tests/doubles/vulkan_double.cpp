// A stand-in for libvulkan.so.1: what MODE says is what goes wrong. Built by the tests with g++.
// Offsets are those of Vulkan's structures on a machine with 64 bits.

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

static bool is(const char *mode) {
    const char *told = getenv("MODE");
    return told && !strcmp(told, mode);
}

static uint32_t memory[1024];

template <typename T> static void put(void *to, size_t offset, T value) {
    memcpy(static_cast<char *>(to) + offset, &value, sizeof value);
}

static void *next_of(void *told) {
    void *next;
    memcpy(&next, static_cast<char *>(told) + 8, sizeof next);
    return next;
}

extern "C" {

int vkCreateInstance(const void *, const void *, void **instance) {
    if (is("no driver")) return -9;
    if (is("hangs at once")) sleep(60);
    *instance = memory;
    return 0;
}

int vkEnumeratePhysicalDevices(void *, uint32_t *count, void **devices) {
    uint32_t there = is("no device") ? 0 : is("many") ? 1000 : 1;
    uint32_t told = there < *count ? there : *count;
    for (uint32_t one = 0; one < told; one++) devices[one] = memory;
    *count = is("many") ? 1000 : told;
    return told < there ? 5 : 0;
}

void vkGetPhysicalDeviceProperties2(void *, void *told) {
    int kind = is("software") ? 4 : is("odd kind") ? 77 : 2;
    put<int>(told, 32, kind);
    const char *name = is("odd names") ? "\x1b[2J\xff\xfe card \n\xe2\x80\xae" : "A card";
    strcpy(static_cast<char *>(told) + 36, name);
    if (is("endless names")) memset(static_cast<char *>(told) + 36, 'x', 256);
    strcpy(static_cast<char *>(next_of(told)) + 20, "a driver");
    strcpy(static_cast<char *>(next_of(told)) + 276, "1.2");
}

static void put_kinds(void *told, size_t at) {
    put<uint32_t>(told, at, is("odd counts") ? 4000000000u : 2);
    put<uint32_t>(told, at + 4, 1);
    put<uint32_t>(told, at + 12, is("no memory") ? 1 : 6);
    put<uint32_t>(told, at + 260, is("odd counts") ? 4000000000u : 2);
    put<uint64_t>(told, at + 264, 1ull << 30);
    put<uint64_t>(told, at + 264 + 16, 8ull << 30);
    put<uint32_t>(told, at + 264 + 24, 1);
}

void vkGetPhysicalDeviceMemoryProperties(void *, void *told) { put_kinds(told, 0); }

void vkGetPhysicalDeviceMemoryProperties2(void *, void *told) {
    put_kinds(told, 16);
    if (is("no budget")) return;
    put<uint64_t>(next_of(told), 16 + 8, 7ull << 30);
    put<uint64_t>(next_of(told), 16 + 128 + 8, is("occupied") ? 9ull << 30 : 1ull << 30);
}

void vkGetPhysicalDeviceQueueFamilyProperties(void *, uint32_t *count, void *told) {
    *count = 2;
    put<uint32_t>(told, 0, 1);
    put<uint32_t>(told, 24, is("no queue") ? 4 : 2);
}

int vkCreateDevice(void *, const void *, const void *, void **device) {
    if (is("mismatch")) return -3;
    *device = memory;
    return 0;
}

void vkGetBufferMemoryRequirements(void *, uint64_t, void *told) {
    put<uint64_t>(told, 0, sizeof memory);
    put<uint32_t>(told, 16, 3);
}

int vkAllocateMemory(void *, const void *, const void *, uint64_t *) {
    return is("full") ? -2 : 0;
}

int vkMapMemory(void *, uint64_t, uint64_t, uint64_t, uint32_t, void **place) {
    *place = is("maps nothing") ? nullptr : memory;
    return 0;
}

int vkQueueSubmit(void *, uint32_t, const void *, uint64_t) {
    if (is("hangs")) sleep(60);
    if (is("crashes")) raise(SIGSEGV);
    if (is("exits")) exit(0);
    if (is("talks")) for (int line = 0; line < 100000; line++) puts("{\"proof\": true}");
    if (is("does nothing")) return 0;
    for (uint32_t place = 0; place < 1024; place++) memory[place] = place * 2654435761u;
    if (is("computes wrong")) memory[1023] ^= 1u << 31;
    return 0;
}

int vkWaitForFences(void *, uint32_t, const void *, uint32_t, uint64_t) {
    return is("lost") ? -4 : is("slow") ? 2 : is("another error") ? -1000 : 0;
}

#define MAKES(name) int name(void *, const void *, const void *, uint64_t *) { return 0; }
MAKES(vkCreateBuffer)
MAKES(vkCreateDescriptorSetLayout)
MAKES(vkCreatePipelineLayout)
MAKES(vkCreateShaderModule)
MAKES(vkCreateDescriptorPool)
MAKES(vkCreateCommandPool)
MAKES(vkCreateFence)
#define DOES(name) int name() { return 0; }
DOES(vkBindBufferMemory)
DOES(vkCreateComputePipelines)
DOES(vkAllocateDescriptorSets)
DOES(vkUpdateDescriptorSets)
DOES(vkAllocateCommandBuffers)
DOES(vkBeginCommandBuffer)
DOES(vkCmdBindPipeline)
DOES(vkCmdBindDescriptorSets)
DOES(vkCmdDispatch)
DOES(vkCmdPipelineBarrier)
DOES(vkEndCommandBuffer)
DOES(vkGetDeviceQueue)
}
