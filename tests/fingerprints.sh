#!/bin/bash
# Trains every method for 30 steps and prints a checksum of all tensors of its last checkpoint (weights, teacher, optimiser, queues).
# Equal lines before and after a change mean equal bits. Usage: tests/fingerprints.sh [PATCHCL] > before.txt
set -eu
patchcl=${1:-build/patchcl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checksum() {
  python3 - "$1" <<'PY'
import hashlib, json, sys
data = open(sys.argv[1], "rb").read()
length = int.from_bytes(data[:8], "little")
header, body = json.loads(data[8:8 + length]), data[8 + length:]
digest = hashlib.sha256()
for name in sorted(header):
    if name == "__metadata__": continue
    begin, end = header[name]["data_offsets"]
    digest.update(name.encode() + body[begin:end])
print(digest.hexdigest()[:16])
PY
}
run() {  # NAME OPTIONS...
  local name=$1
  shift
  for dtype in f32 f64; do
    for threads in 1 2; do
      "$patchcl" train --data phantom:cases=12,size=64,slices=4 --val 2 --labeled 3 --size 64 --batch 4 --iters 30 --val-every 20 \
        --dtype $dtype --threads $threads --out "$work/run" --device cpu "$@" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
      sum=$(checksum "$work/run/last.safetensors") || exit 1
      printf '%-28s %s %s thread(s)  %s\n' "$name" $dtype $threads "$sum"
      rm -rf "$work/run"
    done
  done
}
run supervised --method supervised
run supervised-adam --method supervised --optimizer adam --lr 0.001
run mean-teacher --method mean-teacher
run mean-teacher-copy-paste --method mean-teacher --copy-paste true
run ua-mt --method ua-mt
run fixmatch --method fixmatch
run patchcl --method patchcl
run patchcl-copy-paste --method patchcl --copy-paste true --largest-component true
run patchcl-info-nce --method patchcl --contrast info-nce
run patchcl-released --method patchcl --hard-negatives released --area-filter released --sampling boxes --consistency ce
run patchcl-regions --method patchcl --embed region --contrast prototype --tau 0.2 --mix both --consistency dice
run base --method base
run bcp --method bcp
run ad-mt --method ad-mt
run unimatch --method unimatch
run local-contrast --method local-contrast --pixels block --augment elastic
run pdcr --method mean-teacher --pdcr 0.1 --pdcr-cross 0.1 --pdcr-unlabeled true --uafs all
