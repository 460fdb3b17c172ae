#!/bin/sh
# Finds what the build can use, by compiling and linking a few lines against each library, and writes the result as
# make variables to stdout (the Makefile keeps it in build/probe.mk). HAVE_X is 1 or 0, WHY_X the reason when 0.
# Environment: CXX, CUDA_HOME, BUNDLE (a folder of third-party headers, for machines without packages).
set -u
CXX=${CXX:-g++}
CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# probe NAME PACKAGE "flags" "code": HAVE_NAME, and WHY_NAME with the first error line.
probe() {
  printf '%s\n' "$4" > "$work/p.cpp"
  if $CXX -std=c++20 -pthread -I"${BUNDLE:-bundle}/include" -L"${BUNDLE:-bundle}/lib" $INCLUDES "$work/p.cpp" -o "$work/p" $3 2> "$work/err"; then
    printf 'HAVE_%s := 1\n' "$1"
  else
    why=$(grep -m1 -E 'error|cannot find|not found' "$work/err" | sed -e 's/^[^ ]*: *//' -e 's/[#$]//g' | cut -c1-90)
    printf 'HAVE_%s := 0\nWHY_%s := %s (Debian: %s)\n' "$1" "$1" "${why:-does not compile}" "$2"
  fi
}

INCLUDES="-I/usr/include/eigen3 -I/usr/include/hdf5/serial -I/usr/include/nifti -I/usr/include/stb"
probe COMPILER g++ "" '#include <source_location>
int main() { auto f = [](std::source_location l = std::source_location::current()) { return l.line(); }; return f() == 0; }'
probe EIGEN libeigen3-dev "" '#include <Eigen/Core>
int main() { return Eigen::Matrix2f::Zero()(0) != 0; }'
probe STB libstb-dev "" '#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
int main() { int x; return stbi_info("", &x, &x, &x); }'
probe PNG liblodepng-dev "-llodepng" '#include <lodepng.h>
int main() { return lodepng::State().error; }'
probe JPEG libjpeg62-turbo-dev "-ljpeg" '#include <cstdio>
#include <jpeglib.h>
int main() { jpeg_error_mgr e; return jpeg_std_error(&e) != &e; }'
probe TIFF libtiff-dev "-ltiff" '#include <tiffio.h>
int main() { return TIFFOpenOptionsAlloc() == nullptr; }'
probe CLI11 libcli11-dev "" '#include <CLI/CLI.hpp>
int main() { CLI::App app; return app.count_all() == 99; }'
probe JSON nlohmann-json3-dev "" '#include <nlohmann/json.hpp>
int main() { return nlohmann::json::parse("[]").size() != 0; }'
probe GTEST libgtest-dev "-lgtest -lgtest_main -lpthread" '#include <gtest/gtest.h>
TEST(A, B) {}'
probe HDF5 libhdf5-dev "-lhdf5_serial" '#include <hdf5.h>
int main() { return H5open() < 0; }'
probe NIFTI libnifti-dev "-lniftiio -lznz -lz" '#include <nifti1_io.h>
int main() { return is_nifti_file("x") == 1; }'

INCLUDES="-I$CUDA_HOME/include"
cuda_lib="-L$CUDA_HOME/lib64 -L$CUDA_HOME/lib"
if [ -x "$CUDA_HOME/bin/nvcc" ]; then
  printf 'HAVE_NVCC := 1\nNVCC_VERSION := %s\n' "$("$CUDA_HOME/bin/nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
else
  printf 'HAVE_NVCC := 0\nWHY_NVCC := no nvcc under %s (set CUDA_HOME)\n' "$CUDA_HOME"
fi
probe CUBLAS libcublas-dev "$cuda_lib -lcublas -lcudart" '#include <cublas_v2.h>
int main() { cublasHandle_t h; return cublasCreate(&h) == CUBLAS_STATUS_SUCCESS; }'
probe CUDNN libcudnn9-dev "$cuda_lib -lcudnn -lcudart" '#include <cudnn.h>
int main() { return cudnnGetVersion() == 0; }'
