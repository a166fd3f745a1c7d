#!/bin/sh
# Builds the programs for Vulkan, apart from those for the CPU, and lays them out below `extra`.
# It runs first, in the source's folder, with the arguments of make: objects that are there already
# would be taken for its own.
set -eu
mkdir vulkan
cd vulkan
ln --symbolic ../* .
make "$@" DLLAMA_VULKAN=1 dllama dllama-api
cd ..
install -D --strip --mode=0755 --target-directory=extra/vulkan vulkan/dllama vulkan/dllama-api
find src/nn/vulkan -name '*.spv' -exec \
    install -D --mode=0644 --target-directory=extra/vulkan/src/nn/vulkan {} +
mkdir extra/bin
for program in dllama dllama-api; do
    # The programs look for their shaders below the folder in which they are started.
    cat >"extra/bin/$program-vulkan" <<END
#!/bin/sh
cd -P "\${0%/*}/../vulkan" && exec ./$program "\$@"
END
    chmod 0755 "extra/bin/$program-vulkan"
done
