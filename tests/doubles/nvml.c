/* GPUs that answer as NVIDIA's library does. Macros say what differs from an idle RTX 3060.
   OLD leaves out what drivers before 2018 lack; WSL what Windows does not pass on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef GPUS
#define GPUS 1
#endif
#ifndef PID
#define PID 0
#endif
#ifndef REASONS
#define REASONS 0x1
#endif
#ifndef POWER_LIMIT_MW
#define POWER_LIMIT_MW 170000
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef NAME
#define NAME "NVIDIA GeForce RTX 3060"
#endif
#ifndef FAILS_AT_ONCE
#define FAILS_AT_ONCE ""
#endif
#ifndef FAILS_LATER
#define FAILS_LATER ""
#endif
#define NOT_SUPPORTED 3
typedef unsigned long long wide;
struct memory { wide total, free, used; };
struct violation { wide reference, held; };
struct process { unsigned pid; wide used; unsigned instance, compute_instance; };

static void fail(const char *how) {
    if (!strcmp(how, "crash")) *(volatile int *)0 = 1;
    if (!strcmp(how, "hang")) for (;;) pause();
    if (!strcmp(how, "exit")) exit(0);
}
int own_pid(unsigned *pid) { *pid = getpid(); return 0; }
int nvmlInit_v2(void) {
    fail(FAILS_AT_ONCE);
#ifdef TALKS
    puts("a driver talks"), fflush(stdout);
#endif
    return INIT;
}
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    static int devices[64];
    *device = &devices[index % 64];
    return 0;
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "550.54.14", size); return 0; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    strncpy(text, NAME, size);
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, struct memory *told) {
    told->total = 12884901888ULL, told->free = 12348030976ULL, told->used = 536870912;
    return 0;
}
int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz) {
    *mhz = kind == 2 ? 405 : 210;
    return 0;
}
int nvmlDeviceGetMaxClockInfo(void *device, unsigned kind, unsigned *mhz) {
    *mhz = kind == 2 ? 7501 : 2100;
    return 0;
}
int nvmlDeviceGetCurrPcieLinkGeneration(void *device, unsigned *told) { *told = 1; return 0; }
int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned *told) { *told = 4; return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(void *device, unsigned *told) { *told = 16; return 0; }
int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned *told) { *told = 16; return 0; }
int nvmlDeviceGetEccMode(void *device, unsigned *now, unsigned *pending) { return NOT_SUPPORTED; }
int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *told) { *told = 61; return 0; }
#ifndef WSL
int nvmlDeviceGetPersistenceMode(void *device, unsigned *told) { *told = 1; return 0; }
int nvmlDeviceGetComputeMode(void *device, unsigned *told) { *told = 0; return 0; }
int nvmlDeviceGetPowerManagementLimit(void *device, unsigned *mw) { *mw = POWER_LIMIT_MW; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(void *device, unsigned *mw) { *mw = 170000; return 0; }
int nvmlDeviceGetPowerManagementLimitConstraints(void *device, unsigned *least, unsigned *most) {
    *least = 100000, *most = 212000;
    return 0;
}
#endif
#ifndef OLD
static wide looks = 0;
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, wide *bits) {
    *bits = looks++ ? REASONS : 0x1;
    return 0;
}
int nvmlDeviceGetViolationStatus(void *device, unsigned policy, struct violation *told) {
    told->held = policy ? 2000000000ULL : 1500000000ULL;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, wide *millijoules) {
    static wide used = 5000;
    fail(FAILS_LATER);
    *millijoules = used += 250;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *told) {
    *count = PID != 0;
    if (PID) told[0].pid = PID, told[0].used = 367001600;
    return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, struct process *told) {
    *count = 1;
    told[0].pid = 4194304, told[0].used = ~0ULL;
    return 0;
}
#endif
