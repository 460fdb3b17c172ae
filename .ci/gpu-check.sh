#!/bin/bash
# make gpu-check: everything that only a GPU can answer, as one table of passed, FAILED and not run. Needs a GPU, nvcc, cuBLAS and
# cuDNN, and the packages of `make deps` or a folder from `make gpu-bundle`; no network. Exits with 0 when all passed, with 7
# when something failed, with 8 when there is no GPU.
set -u
cd "$(dirname "$0")/.."
patchcl=${PATCHCL:-build/patchcl}
out=${GPU_CHECK_OUT:-build/gpu-check} scale=${SCALE:---size 64 --batch 8}
rm -rf "$out"
mkdir -p "$out"
passed=0 failed=0 skipped=0

row() { printf '| %-72s | %-8s |\n' "$1" "$2"; }
pass() { row "$1" passed; passed=$((passed + 1)); }
fail() { row "$1" FAILED; failed=$((failed + 1)); tail -n 3 "$2" | sed 's/^/    /'; }
skip() { row "$1" "not run"; skipped=$((skipped + 1)); echo "    $2"; }

# check NAME COMMAND...: passed when the command succeeds.
check() {
  local name=$1 log=$out/$((passed + failed + skipped)).log
  shift
  if [[ $have_gpu == 0 ]]; then skip "$name" "$why"
  elif "$@" > "$log" 2>&1; then pass "$name"
  else fail "$name" "$log"; fi
}

# "--OPTION VALUE" where the method reads that option.
if_read() { $patchcl methods "$1" | grep -q -- "^--$2 " && echo "--$2 $3"; }
# A run of ten steps on a device.
# After ten steps a threshold of 0.95 lets a pixel or none pass: Dice of none is 0, of one about 0.75, and rounding decides.
# At the usual rate the first steps of local-contrast grow what rounding makes of them beyond any tolerance.
short_run() {
  local device=$1 method=$2 folder=$3
  shift 3
  case $method in
    base | unimatch | ad-mt) set -- --confidence 0.5 "$@" ;;
    local-contrast) set -- --lr 0.001 "$@" ;;
  esac
  $patchcl train --device "$device" --method "$method" --data phantom:cases=12,val=2,size=64 --labeled 4 $scale --iters 10 \
    --log-every 1 --val-every 0 $(if_read "$method" queue-ready 8) --out "$folder" "$@"
}

# same_losses RUN RUN TOLERANCE: their losses, line by line, within that (relative to 1 + loss) of each other.
same_losses() {
  paste -d, "$1/metrics.csv" "$2/metrics.csv" | awk -F, -v tolerance="$3" 'NR == 1 {half = NF / 2; next}
    {d = $3 - $(half + 3); if (d < 0) d = -d; if (d > tolerance * (1 + $3)) {print "step " $1 ": " $3 " and " $(half + 3); bad = 1}} END {exit bad}'
}

# Similarities of pixels over tau = 0.1 spread rounding ten times wider than the other losses do.
cpu_and_gpu() {
  local tolerance=1e-3
  [[ $1 != local-contrast ]] || tolerance=5e-3
  short_run cpu "$1" "$out/cpu-$1" && short_run cuda "$1" "$out/gpu-$1" && same_losses "$out/cpu-$1" "$out/gpu-$1" $tolerance
}
pdcr_and_uafs() {
  local options=(--pdcr 0.1 --pdcr-decoder 0.1 --pdcr-cross 0.1 --pdcr-width 16 --pdcr-levels 2,3 --pdcr-vectors 16 --uafs decoder)
  short_run cpu supervised "$out/cpu-pdcr" "${options[@]}" && short_run cuda supervised "$out/gpu-pdcr" "${options[@]}" &&
    same_losses "$out/cpu-pdcr" "$out/gpu-pdcr" 1e-3
}
# Again, without a look at the loss in between: the host runs ahead of the GPU.
bit_equal() { short_run cuda "$1" "$out/again-$1" --log-every 10 && diff <(grep lr.: "$out/gpu-$1/metrics.jsonl" | tail -n 1) <(grep lr.: "$out/again-$1/metrics.jsonl"); }
# One launch for each step, four of ten before the consistency loss begins.
recorded() {
  local stages folder=$out/recorded-$1
  stages="$(if_read "$1" warm-up 0.4) $(if_read "$1" ramp-up 0.5)"
  short_run cuda "$1" "$folder-off" $stages && short_run cuda "$1" "$folder" $stages --graph true &&
    cmp "$folder-off/metrics.csv" "$folder/metrics.csv"
}
near_f32() { short_run cuda supervised "$out/$1" --math "$1" && same_losses "$out/gpu-supervised" "$out/$1" 0.03; }
recorded_in() { short_run cuda supervised "$out/recorded-$1" --math "$1" --graph true && cmp "$out/$1/metrics.csv" "$out/recorded-$1/metrics.csv"; }
# Stopped by a signal after its third step, it goes on to the metrics of a run in one go.
resume() {
  local folder=$out/resume small=(--size 32 --widths 4,8 --dropout 0.1,0.2 --iters 60) run
  short_run cuda "$1" "$folder-whole" "${small[@]}" || return
  short_run cuda "$1" "$folder" "${small[@]}" &
  run=$!
  until grep -qs '^3,' "$folder/metrics.csv"; do kill -0 $run || return; sleep 0.01; done
  pkill -TERM -P $run
  wait $run
  [[ $? == 9 ]] || { echo "it was not stopped in the middle"; return 1; }
  $patchcl train --resume "$folder" --out "$folder" && cmp "$folder-whole/metrics.csv" "$folder/metrics.csv" && $patchcl audit run "$folder" --tensors 3
}

$patchcl audit ops add --device cuda > "$out/device.log" 2>&1
# Only this message says that there is none; a GPU whose first kernel fails has one, and fails the checks.
if grep -q -- '--device cuda was asked for' "$out/device.log"; then have_gpu=0; else have_gpu=1; fi
why=$(head -n 1 "$out/device.log")

row "check" "result"
check "every op on cuda: gradients in f64 and f32, overwrite, accumulate, poison" $patchcl audit ops --device cuda
for method in $($patchcl methods --names); do
  check "ten steps of $method: CPU against GPU" cpu_and_gpu $method
  check "ten steps of $method: the same bits again" bit_equal $method
done
check "ten steps of supervised with PDCR and UAFS: CPU against GPU" pdcr_and_uafs
for method in $($patchcl methods --names --recordable); do
  check "ten steps of $method recorded as CUDA graphs: the same bits" recorded $method
done
for math in tf32 bf16; do
  check "ten steps of supervised in $math: near those in f32" near_f32 $math
  check "ten steps of supervised in $math, recorded: the same bits" recorded_in $math
done
check "patchcl stopped, resumed: the same bits as in one go; audited on the CPU" resume patchcl
PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
if command -v compute-sanitizer > /dev/null; then
  check "memory errors in the ops' kernels (compute-sanitizer)" env PATCHCL_SEPARATE_TENSORS=1 compute-sanitizer --error-exitcode 1 $patchcl audit ops --device cuda softmax dice cross_entropy max_pool2d upsample2x norm_act_dropout cast guided_contrastive info_nce
else
  skip "memory errors in the ops' kernels (compute-sanitizer)" "compute-sanitizer is not on the PATH"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed == 0 ]] || exit 7
[[ $have_gpu == 1 ]] || exit 8
