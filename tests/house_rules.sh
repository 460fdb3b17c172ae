#!/bin/sh
# The rules of the house that no compiler checks; `make` runs them and stops when one is broken.
#   1. Dependencies run one way: tensor <- autograd <- layers, losses <- train; data needs tensor only. In data/:
#      formats <- layouts <- stream. In train/: options, optim, evaluate <- methods <- setup <- audit <- loop <- bench,
#      commands.
#   2. Every op, that is every class with OP_CPU, lives in autograd/ops or losses, and its NAME.spec.cpp names it.
#   3. What tests/style_rules.pl says: no nested conditional expressions, one name one type, short functions and files.
#   4. A section that a source cites ("METHODS" and its number, or several) is a heading of docs/methods.md.
# Usage: tests/house_rules.sh [ROOT]
set -u
tests=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}" || exit 1
broken=0
complain() {
  echo "house rules: $*" >&2
  broken=1
}

# allow FOLDER "FOLDERS OR FILES IT MAY INCLUDE", each a regular expression
allow() {
  [ -d "$1" ] || return 0
  upward=$(grep -rnE '^[[:space:]]*#[[:space:]]*include "' "$1" | grep -vE "include \"($(echo "$1 $2" | tr ' ' '|'))[/\"]")
  [ -z "$upward" ] || complain "$1 may include from $1 $2 only:
$upward"
}
allow tensor ""
allow autograd "tensor"
allow layers "autograd tensor"
allow losses "autograd tensor"
allow data "tensor"
shared="data/[a-z_]+\.h tensor"
allow data/formats "$shared"
allow data/layouts "data/formats $shared"
allow data/stream "data/layouts data/formats $shared"
floor="data losses layers autograd tensor"
allow train "$floor"
allow train/options "tensor"
allow train/optim "$floor"
allow train/evaluate "$floor"
below="train/options train/optim train/evaluate $floor"
allow train/methods "$below"
allow train/setup "train/methods $below"
allow train/audit "train/setup train/methods $below"
allow train/loop "train/audit train/setup train/methods $below"
allow train/bench "train/loop train/setup train/methods $below"

for file in $(grep -rlE '^[[:space:]]*OP_CPU' --include='*.h' --include='*.cpp' tensor autograd layers losses data train 2> /dev/null); do
  case $file in
    autograd/ops/*.h | losses/*.h) ;;
    *) complain "$file declares an op; ops live in a header of autograd/ops or losses" ;;
  esac
  spec=${file%.*}.spec.cpp
  if ! grep -q AddSpec "$spec" 2> /dev/null; then
    complain "$file declares an op, but $spec registers no AddSpec: the gradient battery would never see it"
    continue
  fi
  # The op's name is a string in name(), or belongs to a functor: `struct Exp {` ... `name = "exp"`.
  grep -oE 'struct [A-Za-z0-9_]+|[^_]name = "[^"]+"|name\(\) const override \{.*' "$file" | while read -r line; do
    case $line in
      struct*) functor=${line#struct } ;;
      *name\ =*) grep -qE "\b$functor\b" "$spec" || echo "$functor" ;;
      *) echo "$line" | grep -oE '"[^"]+"' | while read -r name; do grep -q -- "$name" "$spec" || echo "$name"; done ;;
    esac
  done > "${TMPDIR:-/tmp}/house_rules.$$"
  while read -r name; do complain "$file: op $name is not in $spec"; done < "${TMPDIR:-/tmp}/house_rules.$$"
  rm -f "${TMPDIR:-/tmp}/house_rules.$$"
done

style=$(find tensor autograd layers losses data train tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \
  2> /dev/null | sort | xargs "$tests/style_rules.pl") || complain "tests/style_rules.pl stopped"
[ -z "$style" ] || complain "$style"
# A list of sections may run over the end of a line, on which its comment begins anew.
number='[1-9][0-9]*(\.[0-9]+)*'
sections=$(sed -nE "s/^#+ ($number) .*/\1/p" docs/methods.md 2> /dev/null | tr '\n' ' ')
for file in $(grep -rlw METHODS --include='*.h' --include='*.cpp' --include='*.cu' --include='*.cuh' \
  tensor autograd layers losses data train tests 2> /dev/null); do
  for cited in $(sed -E 's|^[[:space:]]*//||' "$file" | tr -s '[:space:]' ' ' |
    grep -oE "METHODS $number((,|,? and|,? or| to) [1-9][0-9]*\.[0-9]+)*" | grep -oE "$number" | sort -u); do
    case " $sections" in
      *" $cited "*) ;;
      *) complain "$file cites METHODS $cited, which is no section of docs/methods.md" ;;
    esac
  done
done
exit $broken
