#!/usr/bin/env bash
# Builds Tureen for NVIDIA GPUs, also on a machine that has none.
#
#   scripts/build-cuda.sh [CAPABILITY] [CARGO ARGUMENTS...]
#
# CAPABILITY is the GPU's compute capability without its dot (default 80): 75 for T4, 80 for A100,
# 86 for RTX 30, 89 for RTX 40 and L4, 90 for H100 and H200, 100 for B200. A program that is built
# for one runs on later ones of the same major number. CARGO ARGUMENTS stand for the default,
# `build --release`.
#
# The compiler and the headers are NVIDIA's own packages on PyPI (CUDA 13.0, for drivers from the
# 580 series on), put under target/cuda; they take 1.5 GB there. Needs python3 with pip, a C
# compiler and cargo. What the program needs where it runs: the driver, and the libraries that this
# script names at its end.
set -euo pipefail
cd "$(dirname "$0")/.."

capability=80
if [[ ${1:-} =~ ^[0-9]+a?$ ]]; then
    capability=$1
    shift
fi
[[ $# -gt 0 ]] || set -- build --release

root=$PWD/target/cuda
home=$root/nvidia/cu13
packages=(
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88
    nvidia-cublas==13.0.2.14 nvidia-curand==10.4.0.35
)
if [[ ! -f $root/done ]]; then
    mkdir -p "$root"
    python3 -m pip install --quiet --no-deps --target "$root" --upgrade "${packages[@]}"
    # The linker looks for names without a version.
    for library in "$home"/lib/*.so.*; do
        ln -sf "$(basename "$library")" "${library%%.so.*}.so"
    done
    # The driver comes with a GPU; for linking, its names suffice.
    grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$home"/include/cuda.h "$home"/include/cudaProfiler*.h |
        sort -u | sed 's/.*/void &(void) {}/' >"$root/driver.c"
    cc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$home/lib/libcuda.so" "$root/driver.c"
    touch "$root/done"
fi

export CUDA_HOME=$home CUDA_PATH=$home CUDA_ROOT=$home NVCC=$home/bin/nvcc
export PATH=$home/bin:$PATH
export CUDA_COMPUTE_CAP=$capability
export CUDARC_CUDA_VERSION=13000
export LIBRARY_PATH=$home/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
export CPATH=$home/include:$home/include/cccl${CPATH:+:$CPATH}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/with-cuda}

command=$1
shift
cargo "$command" --features cuda "$@"

echo "Beside the driver it needs libcudart.so.13, libcublas.so.13, libcublasLt.so.13, libcurand.so.10"
echo "and libnvrtc.so.13: where CUDA 13 is not installed, they are in $home/lib (LD_LIBRARY_PATH)."
