#!/bin/bash
# Would anybody notice one wrong line? Plants one mistake after the other, from the lists in tests/mutations/,
# into a copy of the tree, builds what changed and demands that the audit or a test fails. Seconds for each.
#   make test-mutations [MUTANTS=WORD]   those with WORD in their lines, say MUTANTS=nifti; else all
#   tests/mutate.sh --check              only: does each mistake still have its line?
#
# A mistake:
#   mutant  what is wrong, for the reader
#   file    where
#   right   text that stands in the file exactly once; blanks and line breaks do not count, so that a mistake
#           survives formatting and may reach over lines
#   wrong   what takes its place, or nothing
#   audit   OP INPUT: `patchcl audit ops OP` must exit with 7 and name both; .cu and .cuh: on the emulated GPU
#   tests   FILTER, instead of audit: an assertion of `build/tests --gtest_filter=FILTER` must fail
# What must fail with a mistake must pass without: it is run on the unchanged copy first. Where all tests of a
# filter are skipped, for want of a library, the mistake is skipped.
set -u
cd "$(dirname "$0")/.."
declare -A mutant verdict_without
selected=() passed=0 failed=0 skipped=0

# Fields of mutant i as mutant[i.file], mutant[i.right], ...; `selected` are those with the word $1.
read_lists() {
  local i=0 k key value list
  for list in tests/mutations/*.txt; do
    while read -r key value; do
      case $key in
        '' | '#'*) continue ;;
        mutant) i=$((i + 1)) mutant[$i.mutant]=$value mutant[$i.text]= mutant[$i.wrong]= ;;
        file | right | wrong) mutant[$i.$key]=$value ;;
        audit | tests) mutant[$i.how]=$key mutant[$i.what]=$value ;;
        *) echo "$list: '$key' is no field of a mutant" && exit 2 ;;
      esac
      mutant[$i.text]+=" $value"
    done < "$list"
  done
  for ((k = 1; k <= i; ++k)); do
    [[ ${mutant[$k.text],,} != *"${1,,}"* ]] || selected+=("$k")
  done
  [[ ${#selected[@]} -gt 0 ]] || { echo "no mutant of tests/mutations/ has '$1' in its lines" && exit 2; }
}

# Counts for $1, passed, failed or skipped, and prints the verdict $2 on mutant $3.
report() {
  local -n count=$1
  count=$((count + 1))
  echo "$2  ${mutant[$3.mutant]}  (${mutant[$3.file]}; ${mutant[$3.how]} ${mutant[$3.what]})"
}

# Prints the file of mutant $1 with its mistake; fails where the right text does not stand there once.
with_mistake() {
  RIGHT=${mutant[$1.right]} WRONG=${mutant[$1.wrong]} perl -0777 -ne '
    my $right = join "\\s*", map quotemeta, $ENV{RIGHT} =~ /\S/g;
    exit 1 unless 1 == (() = /$right/g);
    s/$right/$ENV{WRONG}/;
    print' "${mutant[$1.file]}"
}
NOT_CHANGED="NOT CHANGED, its line does not stand there exactly once:"

on_gpu() { [[ ${mutant[$1.how]}:${mutant[$1.file]} == audit:*.cu* ]]; }

# Builds what mutant $1 needs and runs what must notice its mistake. Sets `verdict`: unnoticed, caught, absent
# (all tests skipped), or what went wrong; the file log says more.
judge() {
  local how=${mutant[$1.how]} op input build run code=none
  read -r op input <<< "${mutant[$1.what]}"
  if on_gpu "$1"; then
    build=(CUDA=emulated "$gpu/patchcl") run=("$gpu/patchcl" audit ops "$op" --device cuda)
  elif [[ $how == audit ]]; then
    build=(CUDA=0 "$cpu/patchcl") run=("$cpu/patchcl" audit ops "$op" --kernels all)
  else
    build=(CUDA=0 build/patchcl build/tests)
    run=(build/tests --gtest_brief=1 --gtest_fail_fast --gtest_filter="$op")
  fi
  if make -s "${build[@]}" &> log; then
    timeout 300 "${run[@]}" &> log
    code=$?
  fi
  case $how:$code in
    *:none) verdict="DID NOT BUILD" ;;
    tests:0) grep -q '^0 passed' log && verdict=absent || verdict=unnoticed ;;
    audit:0) verdict=unnoticed ;;
    audit:7) grep -qF "$op" log && grep -qF "$input" log && verdict=caught || verdict="NOT NAMED" ;;
    tests:1) grep -q '^\[  FAILED  \]' log && verdict=caught || verdict="NO SUCH TEST" ;;
    *) verdict="EXIT CODE $code" ;;
  esac
}

try() {
  local i=$1 check="${mutant[$1.how]} ${mutant[$1.what]}"
  with_mistake "$i" > planted || { report failed "$NOT_CHANGED" "$i" && return; }
  if [[ -z ${verdict_without[$check]-} ]]; then
    judge "$i"
    verdict_without[$check]=$verdict
    [[ $verdict == unnoticed ]] || tail -n 5 log
  fi
  case ${verdict_without[$check]} in
    unnoticed) ;;
    absent) report skipped skipped "$i" && return ;;
    *) report failed "WITHOUT THE MISTAKE: ${verdict_without[$check]}" "$i" && return ;;
  esac
  cp -p "${mutant[$i.file]}" original
  cp planted "${mutant[$i.file]}"
  judge "$i"
  if [[ $verdict == caught ]]; then
    report passed caught "$i"
  else
    report failed "${verdict/unnoticed/MISSED}" "$i"
    tail -n 5 log
  fi
  cp original "${mutant[$i.file]}"  # newer than its object: the next build undoes the mistake
}

# Builds the programs here, once, and goes into a copy that holds them.
enter_copy() {
  local i built
  folder_of() { make -s "CUDA=$1" info | sed -n 's/^builds into //p'; }
  cpu=$(folder_of 0) gpu=$(folder_of emulated) built=$cpu
  make -s CUDA=0 "$cpu/patchcl" "$cpu/tests/all" || exit 1
  for i in "${selected[@]}"; do
    on_gpu "$i" && built="$cpu $gpu ${gpu/-emulated/-cuda}"  # the last holds its C++
  done
  [[ $built == "$cpu" ]] || make -s CUDA=emulated "$gpu/patchcl" || exit 1
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  cp -a --parents $(git ls-files) build/probe*.mk $built "$tree"
  cd "$tree" || exit 1
}

if [[ ${1-} == --check ]]; then
  read_lists ""
  for i in "${selected[@]}"; do
    with_mistake "$i" > /dev/null && passed=$((passed + 1)) || report failed "$NOT_CHANGED" "$i"
  done
else
  read_lists "${1-}"
  enter_copy
  for i in "${selected[@]}"; do try "$i"; done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed == 0 && $passed -gt 0 ]]
