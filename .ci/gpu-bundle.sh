#!/bin/bash
# Gathers what the build needs beside a compiler, the CUDA Toolkit and cuDNN into one folder, for a machine with a GPU and without a
# network: headers of Eigen, CLI11, nlohmann-json, toml++, stb, lodepng, libjpeg, libnifti, zlib and GoogleTest, and the libraries of the
# last five (static, but for lodepng, which Debian has as a shared one only).
#   make gpu-bundle [BUNDLE=bundle] [ACDC=folder of ACDC, added as NIfTI]
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${BUNDLE:-bundle}
mkdir -p "$bundle/include" "$bundle/lib"
cp -r /usr/include/eigen3/Eigen "$bundle/include/"
for name in CLI nlohmann toml++ stb gtest nifti lodepng.h jpeglib.h jmorecfg.h jerror.h jconfig.h zlib.h zconf.h; do
  for at in /usr/include "/usr/include/$(gcc -dumpmachine)"; do
    if [[ -e $at/$name ]]; then cp -rL "$at/$name" "$bundle/include/"; break; fi
  done
  [[ -e $bundle/include/$name ]] || { echo "gpu-bundle: there is no $name; run: make deps" >&2; exit 1; }
done
cp "$bundle"/include/{stb,nifti}/* "$bundle/include/"
for name in libgtest.a libz.a libjpeg.a libniftiio.a libznz.a liblodepng.so; do
  found=$(gcc -print-file-name=$name)
  [[ $found == /* ]] || { echo "gpu-bundle: there is no $name; run: make deps" >&2; exit 1; }
  cp -L "$found" "$bundle/lib/"
done
cp "$bundle/lib/liblodepng.so" "$bundle/lib/liblodepng.so.0"  # the name that the program looks for
if [[ -n ${ACDC:-} && ! -e $bundle/acdc/dataset.json ]]; then build/patchcl data convert "$ACDC" "$bundle/acdc" --as nnunet; fi
echo "$bundle: $(du -sm "$bundle" | cut -f1) MiB"
