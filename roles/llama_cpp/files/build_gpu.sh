# shellcheck shell=sh
# build_gpu GPU ARCHITECTURES JOBS PROGRAMS FLAG…
# Builds the programs for a GPU, apart from those for the CPU, and puts them below `extra`. It runs
# in the source's folder. ARCHITECTURES are CUDA's, with commas; PROGRAMS are words of one text.
gpu=$1 architectures=$2 jobs=$3 programs=$4
shift 4
case $gpu in
vulkan) set -- -DGGML_VULKAN=ON "$@" ;;
cuda)
    nvcc=$(find /usr/local/cuda-*/bin -name nvcc 2>/dev/null | sort --version-sort | tail -n 1)
    nvcc=${nvcc:-$(command -v nvcc || true)}
    if [ -z "$nvcc" ]; then
        echo "ERROR: it has no CUDA toolkit (nvcc)" >&2
        exit 1
    fi
    set -- -DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_COMPILER=$nvcc" \
        "-DCMAKE_CUDA_ARCHITECTURES=$(echo "$architectures" | sed 's/,/-real;/g; s/$/-real/')" "$@"
    ;;
esac
# A static program could load no driver. Its C library is that of the system, as on the nodes that
# get it; what comes from the toolkit is brought along, in the folder that it is told here.
# shellcheck disable=SC2016 # $ORIGIN is for the loader
cmake -G Ninja -S vendor/llama.cpp -B build-gpu "$@" \
    '-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc -Wl,--disable-new-dtags' \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN/../lib'
# shellcheck disable=SC2086 # one word for each
nice cmake --build build-gpu --parallel "$jobs" --target $programs
mkdir -p extra/bin extra/lib
for program in $programs; do
    install --strip --mode=0755 "build-gpu/bin/$program" "extra/bin/$program-$gpu"
    ldd "build-gpu/bin/$program" |
        sed -n 's/.* => \(.*[/]lib\(cudart\|cublas\|cublasLt\)[.]so[.][0-9]*\) .*/\1/p' |
        xargs --no-run-if-empty cp --dereference --update --target-directory=extra/lib
done
