#!/bin/sh
# Fuzzes every target, from tests/fuzz/corpus; a line for each with what was executed.
# Usage: tests/fuzz/run.sh [EXECUTIONS [TARGET...]]
# What is found goes to build/fuzz/found. A single input may take 5 s, and no allocation more than 64 MB + 40 times the
# largest input (libFuzzer's malloc limit), but for those of libhdf5.
set -u
cd "$(dirname "$0")/../.."
runs=${1:-10000}
[ $# -gt 0 ] && shift
program=build/fuzz/fuzz
targets=${*:-$(TARGET=list-targets $program)}
[ -n "$targets" ] || { echo "fuzz: $program names no targets; run: make fuzz" >&2; exit 1; }
found=build/fuzz/found
# What the HDF5 library itself leaks when it refuses a file (64 bytes) is not ours to mend.
export LSAN_OPTIONS=suppressions=tests/fuzz/leaks.txt:print_suppressions=0
mkdir -p $found
folder=$(mktemp -d -p /dev/shm) || exit 4
trap 'rm -rf "$folder"' EXIT
status=0
for target in $targets; do
  work=build/fuzz/corpus/$target
  mkdir -p "$work" "tests/fuzz/corpus/$target"
  begin=$(date +%s)
  # libhdf5 asks for what a damaged heap claims (seen: 620 MB) before it finds the file too short; it touches none of it,
  # and takes NULL for an answer where no machine has so much.
  most=65 null=0
  [ "$target" = h5 ] && most=2500 null=1
  mkdir -p "$folder/$target"
  ASAN_OPTIONS=allocator_may_return_null=$null TARGET=$target FOLDER=$folder/$target $program -runs="$runs" -max_len=16384 -timeout=5 -malloc_limit_mb=$most -rss_limit_mb=3000 -print_final_stats=1 \
    -artifact_prefix="$found/$target-" "$work" "tests/fuzz/corpus/$target" > "build/fuzz/$target.log" 2>&1
  case $? in
    0) verdict="nothing found" ;;
    72) verdict="interrupted, nothing found until then" status=1 ;;
    *) verdict="FOUND, see build/fuzz/$target.log" status=1 ;;
  esac
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$target.log")
  echo "$target: ${executed:-?} executions, $(ls "$work" | wc -l) inputs that reach something new, $(($(date +%s) - begin)) s: $verdict"
done
exit $status
