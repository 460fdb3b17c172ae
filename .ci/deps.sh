#!/bin/sh
# Installs the Debian packages that the build, the tests and the pictures use and that are not there yet.
# As root or with password-less sudo; otherwise prints the command and stops. Where there is no apt-get it does nothing.
#   .ci/deps.sh [FOLDER]   FOLDER: no root needed; unpacks them there (include/, lib/) for `make BUNDLE=FOLDER`
set -eu
packages="g++ make libeigen3-dev libstb-dev liblodepng-dev libjpeg-dev libtiff-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libgtest-dev libhdf5-dev libnifti-dev zlib1g-dev graphviz gnuplot-nox clang-format strace"
command -v apt-get > /dev/null || { echo "deps: no apt-get here; install the equivalents of: $packages"; exit 0; }
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2> /dev/null | grep -q "install ok installed" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ -n "${1:-}" ]; then
  into=$(mkdir -p "$1" && cd "$1" && pwd)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # What apt would install, with all that it depends on; programs (gnuplot, clang-format ...) are left out.
  libraries=$(printf '%s\n' $missing | grep -E '^lib|^nlohmann' || true)
  [ -n "$libraries" ] || { echo "deps: no library is missing, but:$missing"; exit 1; }
  names=$(apt-get install -s --no-install-recommends $libraries | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  (cd "$work" && apt-get download -qq $names && for deb in *.deb; do dpkg-deb -x "$deb" root; done)
  triplet=$(gcc -dumpmachine)
  mkdir -p "$into/include" "$into/lib"
  cp -r "$work/root/usr/include/." "$into/include/"
  for d in "$work/root/usr/lib/$triplet" "$work/root/usr/lib" "$work/root/lib/$triplet"; do
    if [ -d "$d" ]; then find "$d" -maxdepth 1 -name '*.so*' -o -maxdepth 1 -name '*.a' | xargs -r cp -P -t "$into/lib"; fi
  done
  if [ -d "$into/include/$triplet" ]; then cp -r "$into/include/$triplet/." "$into/include/"; fi
  echo "deps: $(echo $names | wc -w) packages unpacked into $into; now: make BUNDLE=$into"
  exit 0
fi
if [ "$(id -u)" = 0 ]; then run=""
elif sudo -n true 2> /dev/null; then run="sudo"
else
  echo "deps: missing packages. Please run, then make again:"
  echo "  sudo apt-get install -y --no-install-recommends$missing"
  exit 1
fi
echo "deps: installing$missing"
$run apt-get update -qq
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
