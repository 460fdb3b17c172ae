#!/bin/sh
# Finds what the build can use, by compiling and linking a few lines against each library, and writes the result as
# make variables to stdout (the Makefile keeps it in build/probe.mk). HAVE_X is 1 or 0, WHY_X the reason when 0.
# Environment: CXX, CUDA_HOME, CUDNN_HOME (of a cuDNN that the compiler does not find; by default Python's package of
# it), BUNDLE (a folder of third-party headers, for machines without packages).
set -u
CXX=${CXX:-g++}
CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# A library of the bundle may want others that lie there only.
bundled=""
[ -d "${BUNDLE:-bundle}/lib" ] && bundled="-L${BUNDLE:-bundle}/lib -Wl,--disable-new-dtags,-rpath,$(cd "${BUNDLE:-bundle}/lib" && pwd)"

# probe NAME PACKAGE "flags" "code": HAVE_NAME, and WHY_NAME with the first error line.
probe() {
  printf '%s\n' "$4" > "$work/p.cpp"
  if $CXX -std=c++20 -pthread $INCLUDES $bundled $LIBRARIES "$work/p.cpp" -o "$work/p" $3 2> "$work/err"; then
    printf 'HAVE_%s := 1\n' "$1"
  else
    why=$(grep -m1 -E 'error|cannot find|not found' "$work/err" | sed -e 's/^[^ ]*: *//' -e 's/[#$]//g' | cut -c1-90)
    printf 'HAVE_%s := 0\nWHY_%s := %s (Debian: %s)\n' "$1" "$1" "${why:-does not compile}" "$2"
  fi
}

# Where headers and libraries lie: in BUNDLE, where pkg-config says (if it is there), where Debian has them.
dirs=""
for under in "" /eigen3 /hdf5/serial /nifti /stb; do dirs="$dirs ${BUNDLE:-bundle}/include$under"; done
pkg_libs=""
for module in eigen3 hdf5-serial hdf5 nlohmann_json CLI11 tomlplusplus libtiff-4 libjpeg zlib gtest; do
  dirs="$dirs $(pkg-config --cflags-only-I $module 2> /dev/null | sed 's/-I *//g')"
  pkg_libs="$pkg_libs $(pkg-config --libs-only-L $module 2> /dev/null)"
done
dirs="$dirs /usr/include/eigen3 /usr/include/hdf5/serial /usr/include/nifti /usr/include/stb"
INCLUDES="" LIBRARIES=""
for d in $dirs; do
  case " $INCLUDES /usr/include/$(uname -m)-linux-gnu " in *" $d "*) continue ;; esac  # seen, or the compiler's own
  if [ -d "$d" ]; then INCLUDES="$INCLUDES -isystem $d"; fi
done
for l in $pkg_libs; do
  case " $LIBRARIES " in *" $l "*) ;; *) LIBRARIES="$LIBRARIES $l" ;; esac
done
printf 'INCLUDE_DIRS :=%s\nLIBRARY_DIRS :=%s\n' "$INCLUDES" "$LIBRARIES"
probe COMPILER g++ "" '#include <source_location>
int main() { auto f = [](std::source_location l = std::source_location::current()) { return l.line(); }; return f() == 0; }'
probe EIGEN libeigen3-dev "" '#include <Eigen/Core>
int main() { return Eigen::Matrix2f::Zero()(0) != 0; }'
probe STB libstb-dev "" '#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
int main() { int x; return stbi_info("", &x, &x, &x); }'
probe PNG liblodepng-dev "-llodepng" '#include <lodepng.h>
int main() { return lodepng::State().error; }'
probe JPEG libjpeg-dev "-ljpeg" '#include <cstdio>
#include <jpeglib.h>
int main() { jpeg_error_mgr e; return jpeg_std_error(&e) != &e; }'
probe TIFF libtiff-dev "-ltiff" '#include <tiffio.h>
int main() { return TIFFOpenOptionsAlloc() == nullptr; }'
probe CLI11 libcli11-dev "" '#include <CLI/CLI.hpp>
int main() { CLI::App app; return app.count_all() == 99; }'
probe JSON nlohmann-json3-dev "" '#include <nlohmann/json.hpp>
int main() { return nlohmann::json::parse("[]").size() != 0; }'
probe TOML libtomlplusplus-dev "" '#include <toml++/toml.h>
int main() { return toml::parse("a = 1").empty(); }'
probe GTEST libgtest-dev "-lgtest -lpthread" '#include <gtest/gtest.h>
int main() { return testing::Test::HasFailure(); }'
hdf5='#include <hdf5.h>
int main() { return H5open() < 0; }'
# Debian's serial build has a name of its own.
printf '%s\n' "$hdf5" > "$work/h.cpp"
hdf5_lib=-lhdf5_serial
$CXX $INCLUDES "$work/h.cpp" -o "$work/h" $bundled $LIBRARIES $hdf5_lib 2> "$work/err" || hdf5_lib=-lhdf5
printf 'HDF5_LIB := %s\n' "$hdf5_lib"
probe HDF5 libhdf5-dev "$hdf5_lib" "$hdf5"
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
cudnn='#include <cudnn.h>
int main() { return cudnnGetVersion() == 0; }'
# Where the compiler finds none there may be Python's package, without libcudnn.so, only the name with a version.
printf '%s\n' "$cudnn" > "$work/c.cpp"
cudnn_lib=-lcudnn cudnn_include=""
if ! $CXX $INCLUDES "$work/c.cpp" -o "$work/c" $cuda_lib $cudnn_lib 2> "$work/err"; then
  : "${CUDNN_HOME:=$(python3 -c 'import nvidia.cudnn as cudnn; print(list(cudnn.__path__)[0])' 2> /dev/null)}"
  if [ -e "$CUDNN_HOME/include/cudnn.h" ]; then
    cudnn_include="-I$CUDNN_HOME/include"
    cudnn_lib="-L$CUDNN_HOME/lib -Wl,-rpath,$CUDNN_HOME/lib -l:libcudnn.so.9"
  fi
fi
printf 'CUDNN_INCLUDE := %s\nCUDNN_LIB := %s\n' "$cudnn_include" "$cudnn_lib"
INCLUDES="$INCLUDES $cudnn_include"
probe CUDNN libcudnn9-dev "$cuda_lib $cudnn_lib -lcudart" "$cudnn"
