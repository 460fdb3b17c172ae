#!/bin/sh
# Installs the Debian packages that the build, the tests and the pictures use and that are not there yet.
# As root or with password-less sudo; otherwise prints the command and stops. Where there is no apt-get it does nothing.
set -eu
packages="g++ make libeigen3-dev libstb-dev liblodepng-dev libjpeg62-turbo-dev libcli11-dev nlohmann-json3-dev libgtest-dev libhdf5-dev libnifti-dev zlib1g-dev graphviz gnuplot-nox clang-format strace"
command -v apt-get > /dev/null || { echo "deps: no apt-get here; install the equivalents of: $packages"; exit 0; }
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2> /dev/null | grep -q "install ok installed" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
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
