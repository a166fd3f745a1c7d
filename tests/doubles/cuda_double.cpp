// A stand-in for libcuda.so.1: MODE is the number of an error of cuInit, or says what goes wrong.
// Built by the tests with g++.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

static bool is(const char *mode) {
    const char *told = getenv("MODE");
    return told && !strcmp(told, mode);
}

static uint32_t memory[1024];

extern "C" {

int cuInit(unsigned) {
    if (is("hangs")) sleep(60);
    const char *told = getenv("MODE");
    return told ? atoi(told) : 0;
}

int cuDriverGetVersion(int *version) { return *version = 12040, 0; }

int cuDeviceGetCount(int *count) {
    *count = is("no device") ? 0 : is("many") ? 2000000000 : is("negative") ? -5 : 2;
    return 0;
}

int cuDeviceGet(int *device, int number) { return *device = number, 0; }

int cuDeviceGetName(char *name, int bytes, int device) {
    strncpy(name, device ? "Second" : "First", bytes);
    if (is("odd names")) memset(name, '\x1b', bytes);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = 8ull << 30, 0; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    return *value = attribute == 18 && device == 1, 0;
}

int cuDevicePrimaryCtxRetain(void **context, int) {
    if (is("occupied")) return 46;
    return *context = memory, is("full") ? 2 : 0;
}

int cuCtxSetCurrent(void *) { return 0; }

int cuMemGetInfo_v2(size_t *free, size_t *total) {
    return *free = 3ull << 30, *total = 8ull << 30, 0;
}

int cuMemAlloc_v2(uint64_t *buffer, size_t) { return *buffer = 4711, 0; }

int cuMemsetD32_v2(uint64_t buffer, unsigned value, size_t count) {
    for (size_t place = 0; place < count; place++) memory[place] = value;
    return buffer == 4711 && count == 1024 ? 0 : 1;
}

int cuModuleLoadData(void **module, const char *program) {
    if (is("old driver")) return 222;
    return *module = memory, strstr(program, ".entry prove(") ? 0 : 218;
}

int cuModuleGetFunction(void **function, void *, const char *name) {
    return *function = memory, strcmp(name, "prove") ? 500 : 0;
}

int cuLaunchKernel(void *, unsigned groups, unsigned, unsigned, unsigned threads, unsigned,
                   unsigned, unsigned, void *, void **arguments, void **) {
    if (*static_cast<uint64_t *>(arguments[0]) != 4711 || groups * threads != 1024) return 1;
    for (uint32_t place = 0; place < 1024; place++) memory[place] = place * 2654435761u;
    if (is("computes wrong")) memory[512] = 0;
    return 0;
}

int cuCtxSynchronize() { return is("faults") ? 700 : 0; }

int cuMemcpyDtoH_v2(void *to, uint64_t, size_t bytes) { return memcpy(to, memory, bytes), 0; }
}
