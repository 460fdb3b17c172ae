#!/usr/bin/env bash
# Kills a training at each of its file system calls, or lets each fail, one after the other; then goes on and demands the files of
# an undisturbed run. Needs strace.
#   tests/campaigns/syscalls.sh kill  [EVERY] [METHOD]   SIGKILL at call 1, 1+EVERY, ... of `train`, and of `train --resume`
#   tests/campaigns/syscalls.sh fail  [EVERY] [METHOD]   ENOSPC or EIO there: exit code 0 with all files, or 4 (3, 6: what could
#                                                        not be read)
# The last line counts; exit code 1 when a point broke its promise. docs/reliability.md has the promises.
set -u
mode=${1:-kill} every=${2:-1} method=${3:-supervised}
patchcl=$(readlink -f "${PATCHCL:-build/patchcl}")
command -v strace > /dev/null || { echo "campaign $mode: skipped, there is no strace (Debian: strace)"; exit 0; }
strace -o /dev/null true 2> /dev/null || { echo "campaign $mode: skipped, strace may not trace here"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OMP_NUM_THREADS=1
calls=openat,write,rename,unlink,link,fsync,mkdir,close,ftruncate
options="--data phantom:cases=4,val=1,size=32,slices=2 --labeled 2 --size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --threads 1
  --device cpu --log-every 1 --val-every 2 --audit-every 2 --method $method --out run"
compared="best.safetensors best.json metrics.jsonl metrics.csv audit.jsonl results.json results.md config.toml"
points=0 broken=0 stopped=0 harmless=0

complain() {
  echo "BROKEN: $mode $command at $call number $when: $*"
  broken=$((broken + 1))
}
# Weights, teacher, optimiser and metadata: the file itself.
same_files() {
  for f in last.safetensors $compared; do
    cmp -s "ref/run/$f" "try/run/$f" || { complain "$f differs or is missing"; return; }
  done
  left=$(find try/run -name '*.tmp')
  [ -z "$left" ] || complain "left over: $left"
}
go_on() {
  local log
  if [ -e try/run/last.safetensors ]; then log=$(cd try && "$patchcl" train --resume run 2>&1)
  else log=$(cd try && "$patchcl" train --iters 6 $options 2>&1); fi
  local code=$?
  [ $code = 0 ] && return 0
  complain "goes on with exit code $code: $(echo "$log" | tail -n 1)"
  return 1
}
# The calls of a trace that concern the run folder or come after its first: "NAME NUMBER" a line, as strace counts.
points_of() {
  awk '{ name = $0; sub(/\(.*/, "", name); if (name !~ /^[a-z]+$/) next
    number[name]++; if (/mkdir\("run"|"run\//) begun = 1; if (begun) print name, number[name] }' "$1"
}
disturb() {  # the command's arguments
  local inject
  case $mode:$call in
    kill:*) inject="signal=KILL" ;;
    fail:openat | fail:write | fail:mkdir | fail:ftruncate) inject="error=ENOSPC" ;;
    *) inject="error=EIO" ;;
  esac
  (cd try && strace -o /dev/null -e trace=$calls -e "inject=$call:$inject:when=$when" "$patchcl" "$@" > log 2>&1) 2> /dev/null
}
check() {
  points=$((points + 1))
  case $mode:$1 in
    fail:0) harmless=$((harmless + 1)) ;;
    fail:3 | fail:4 | fail:6) stopped=$((stopped + 1)) ;;
    fail:*) complain "exit code $1: $(tail -n 1 try/log)" ;;
  esac
  if [ "$mode:$1" = fail:0 ]; then same_files
  else go_on && same_files; fi
}
campaign() {  # name of what is disturbed, folder to begin with, arguments
  command=$1
  local begin=$2 n=0
  shift 2
  rm -rf try && cp -r "$begin" try
  (cd try && strace -o ../trace -e trace=$calls "$patchcl" "$@" > log 2>&1) || { echo "campaign: $command fails undisturbed"; exit 1; }
  while read -r call when; do
    n=$((n + 1))
    [ $(((n - 1) % every)) = 0 ] || continue
    rm -rf try && cp -r "$begin" try
    disturb "$@"
    check $?
  done < <(points_of trace)
}

mkdir empty ref
(cd ref && "$patchcl" train --iters 6 $options > log 2>&1) || { cat ref/log; exit 1; }
# A run that was killed after step 5, whose last checkpoint is that of step 4.
cp -r ref half && mv half/run/last.1.safetensors half/run/last.safetensors && rm half/run/results.*
campaign train empty train --iters 6 $options
campaign resume half train --resume run
echo "campaign $mode, $method: $points points, $broken broken$([ "$mode" = fail ] && echo "; stopped in words at $stopped, harmless at $harmless")"
[ $broken = 0 ]
