// Squares a million numbers on the GPU and compares them with the CPU's: "ok <device> <capability>".
#include <cstdio>
#include <vector>

__global__ void square(const unsigned *given, unsigned *squares, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) squares[i] = given[i] * given[i];
}

static bool failed(const char *what, cudaError_t status) {
    if (status == cudaSuccess) return false;
    std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
    return true;
}

int main() {
    const unsigned count = 1u << 20, threads = 256;
    const size_t bytes = count * sizeof(unsigned);
    cudaDeviceProp device;
    unsigned *given = nullptr, *squares = nullptr;
    std::vector<unsigned> numbers(count), answers(count);
    for (unsigned i = 0; i < count; i++) numbers[i] = i * 2654435761u;

    if (failed("asking the device", cudaGetDeviceProperties(&device, 0))) return 1;
    if (failed("memory", cudaMalloc(&given, bytes))) return 1;
    if (failed("memory", cudaMalloc(&squares, bytes))) return 1;
    if (failed("copying there", cudaMemcpy(given, numbers.data(), bytes, cudaMemcpyHostToDevice)))
        return 1;
    square<<<(count + threads - 1) / threads, threads>>>(given, squares, count);
    if (failed("starting the kernel", cudaGetLastError())) return 1;
    if (failed("running the kernel", cudaDeviceSynchronize())) return 1;
    if (failed("copying back", cudaMemcpy(answers.data(), squares, bytes, cudaMemcpyDeviceToHost)))
        return 1;
    for (unsigned i = 0; i < count; i++) {
        if (answers[i] != numbers[i] * numbers[i]) {
            std::fprintf(stderr, "the GPU squared %u wrongly: %u\n", numbers[i], answers[i]);
            return 1;
        }
    }
    std::printf("ok %s %d.%d\n", device.name, device.major, device.minor);
    return 0;
}
