#!/bin/sh
# Disturbs a command at each of its points, one after the other; then goes on and demands the files of an undisturbed run.
#   tests/campaigns/run.sh MODE [EVERY [COMMAND...]]
# MODE     kill    SIGKILL at a file system call
#          fail    the call fails, with ENOSPC or EIO
#          memory  an allocation fails (allocations.c)
#          power   the power goes: what no fsync had brought to the disk is lost (power_cut.py)
# EVERY    takes points 1, 1+EVERY, ...
# COMMAND  of the table below; else all
# A command that fails exits with a documented code and words; one that says 0 has written everything, and right.
# The last line counts; exit code 1 when a point broke its promise. docs/reliability.md has the promises.
set -u
mode=${1:-kill} every=${2:-1}
[ $# -gt 2 ] && shift 2 || set --
chosen=" $* "
patchcl=$(readlink -f "${PATCHCL:-build/patchcl}")
campaigns=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OMP_NUM_THREADS=1

# --- The commands: name, name of its result, folder to begin with, arguments. Each writes `run`. --------------------
hearts="phantom:cases=4,val=1,size=32,slices=2"
small="--size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --threads 1 --device cpu"
train="train --iters 6 --data $hearts --labeled 2 $small --log-every 1 --val-every 2 --checkpoint-every 3 --audit-every 2 --out run --method"
net="--threads 1 --weights w.safetensors"
table="
train             supervised  empty          $train supervised
resume            supervised  half           train --resume run
train-patchcl     patchcl     empty          $train patchcl
resume-patchcl    patchcl     half-patchcl   train --resume run
grid              grid        half-grid      grid hearts.plan --out run
predict           predict     data           predict $net images run --probabilities --overlays run/overlays
eval              eval        data           eval $net --data h5 --json run/s.json --csv run/s.csv --overlays run
convert-png       png         data           data convert h5 run --as png
convert-nnunet    nnunet      data           data convert h5 run --as nnunet
convert-ssl4mis   ssl4mis     data           data convert nnunet run --as ssl4mis
"
quietly() { "$@" > log 2>&1 || { echo "campaign: $* fails undisturbed"; cat log; exit 1; }; }
# A run that was killed after step 5, whose last checkpoint is that of step 4.
cut_short() { mv "$1/last.1.safetensors" "$1/last.safetensors" && rm "$1"/results.*; }
begin() {
  mkdir ref empty half half-patchcl half-grid data
  (cd half && quietly "$patchcl" $train supervised && cut_short run)
  (cd half-patchcl && quietly "$patchcl" $train patchcl && cut_short run)
  (cd half-grid && printf '%s\n' "labeled 2" "seeds 1" "train --data $hearts $small --iters 2" "eval --data $hearts --threads 1" \
    "variant a --method supervised" "variant b --lr 0.02" > hearts.plan &&
    quietly "$patchcl" grid hearts.plan --out run && rm -r run/b)
  (cd data && mkdir run && cp ../half/run/best.safetensors w.safetensors &&
    quietly "$patchcl" data convert $hearts h5 --as ssl4mis && quietly "$patchcl" data convert $hearts nnunet --as nnunet &&
    quietly "$patchcl" data convert phantom:cases=1,val=1,size=32,slices=1 png --as png && mv png/images images &&
    cp h5/data/phantom_val000.h5 images/volume.h5 && cp nnunet/imagesTr/phantom001_0000.nii.gz images)
}

# --- Points: "WHAT NUMBER" a line. ----------------------------------------------------------------------------------
calls=openat,write,rename,unlink,link,fsync,mkdir,close,ftruncate
[ "$mode" = fail ] && calls=$calls,read,newfstatat,getdents64
[ "$mode" = power ] && calls=$calls,rmdir,fdatasync
disturbed() {  # what, number, arguments: the program with that point disturbed; number 0: none, points into ../trace
  what=$1 number=$2
  shift 2
  case $mode:$number:$what in
    memory:*) exec timeout 300 env TRACE=../trace FAIL_AT="$number" LD_PRELOAD="$work/allocations.so" "$patchcl" "$@" ;;
    power:0:*) exec strace -xx -s 100000000 -o ../trace -e trace=$calls "$patchcl" "$@" ;;
    power:*) exec python3 "$campaigns/power_cut.py" state ../trace "$what" "$number" ;;
    *:0:*) exec strace -o ../trace -e trace=$calls "$patchcl" "$@" ;;
    kill:*) inject=signal=KILL ;;
    *:openat | *:write | *:mkdir | *:ftruncate) inject=error=ENOSPC ;;
    *) inject=error=EIO ;;
  esac
  exec timeout 300 strace -o /dev/null -e trace=$calls -e "inject=$what:$inject:when=$number" "$patchcl" "$@"
}
points_of() {
  if [ "$mode" = power ]; then
    (cd "$folder" && python3 "$campaigns/power_cut.py" points ../trace) > all
    awk "NR % $every == 1 % $every" all && tail -n 1 all
  elif [ "$mode" = memory ]; then
    seq 1 "$every" "$(cat trace)" | sed 's/^/allocation /'
  else  # from the first call that names a path of ours
    awk '{ name = $0; sub(/\(.*/, "", name); if (name !~ /^[a-z0-9]+$/) next
      number[name]++; if (/^[a-z0-9]+\((AT_FDCWD, )?"[^\/"]/) begun = 1; if (begun) print name, number[name] }' trace |
      awk "NR % $every == 1 % $every"
  fi
}

# --- What is demanded. ----------------------------------------------------------------------------------------------
complain() {
  echo "BROKEN: $mode $command at $what number $number: $*"
  broken=$((broken + 1))
}
# Weights, teacher, optimiser, metadata, tables and pictures. Times and process numbers are in the others.
same_files() {
  differences=$(diff -rq -x run.json -x run.lock -x report.html -x cost.md -x last.1.safetensors -x grid.log "ref/$result" try/run 2>&1) ||
    complain "$(echo "$differences" | head -n 3)"
}
go_on() {
  case $command in convert-*) rm -rf try/run ;; esac  # a conversion wants a folder of its own
  if [ -e try/run/last.safetensors ]; then set -- train --resume run; fi
  (cd try && "$patchcl" "$@" > again 2>&1)
  code=$?
  [ $code = 0 ] || complain "goes on with exit code $code: $(tail -n 1 try/again)"
  [ $code = 0 ]
}
check() {  # exit code, arguments
  code=$1
  shift
  points=$((points + 1))
  case $mode:$code in
    kill:* | power:137 | power:0) ;;
    *:0) harmless=$((harmless + 1)) ;;
    fail:[346] | memory:[234568])
      stopped=$((stopped + 1))
      grep -q '^error: .\|failed with exit code' try/log || complain "exit code $code without a word" ;;
    *) complain "exit code $code: $(tail -n 1 try/log)" ;;
  esac
  if [ "$mode:$code" = kill:0 ] || [ "$code" != 0 ]; then go_on "$@" || return; fi
  same_files
}
campaign() {  # of the table, in words
  command=$1 result=$2 folder=$3
  shift 3
  before=$points
  [ "$mode $command" = "power grid" ] && return  # of its runs, which are other processes, no call is traced
  rm -rf try && cp -r "$folder" try
  what=nothing number=0
  (cd try && disturbed nothing 0 "$@" > log 2>&1) || { complain "fails undisturbed: $(tail -n 1 try/log)"; return; }
  if [ -d "ref/$result" ]; then same_files; else cp -r try/run "ref/$result"; fi
  points_of > points
  while read -r what number; do
    rm -rf try && cp -r "$folder" try
    { (cd try && disturbed "$what" "$number" "$@" > log 2>&1); } 2> /dev/null
    check $? "$@"
  done < points
  echo "campaign $mode $command: $((points - before)) points"
}

if [ "$mode" = memory ]; then
  ${CC:-cc} -O1 -shared -fPIC -o allocations.so "$campaigns/allocations.c" -ldl || exit 1
elif ! strace -o /dev/null true 2> /dev/null; then
  echo "campaign $mode: skipped, there is no strace (Debian: strace), or it may not trace here"
  exit 0
fi
points=0 broken=0 stopped=0 harmless=0
begin
echo "$table" > table
while read -r row; do
  case $chosen in "  " | *" ${row%% *} "*) [ -z "$row" ] || campaign $row ;; esac
done < table
echo "campaign $mode: $points points, $broken broken; stopped in words at $stopped, harmless at $harmless"
[ $broken = 0 ] && [ $points -gt 0 ]
