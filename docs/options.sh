#!/bin/bash
# Writes docs/options.md to standard output: what `--help` of every command says, and of every method what it adds to
# `train`.
set -euo pipefail
cd "$(dirname "$0")/.."
program=build/patchcl

block() { printf '```\n'; sed -E 's/[ \t]+$//' | cat -s; printf '```\n\n'; }

# Groups of options that are not of all methods.
own_groups() {
  awk '/^\[Option Group: /{own = !/: (Data|Optimisation|Network|Running)\]/} /^Methods \(/{own = 0} own'
}

cat <<'E2'
# Options

Generated from `--help` by `make docs`; a test keeps it true. Values behind `=` are defaults. A TOML file with the same names
(`--config FILE`, and every run's `config.toml`) says the same as the command line.

E2
$program --help | sed -nE 's/^  ([a-z]+) .*/\1/p' | grep -v '^patchcl$' | while read -r command; do
  echo "## patchcl $command"
  echo
  case $command in
    data|audit)
      $program "$command" --help | block
      $program "$command" --help | sed -nE '/^Subcommands/,/^$/s/^  ([a-z]+) .*/\1/p' | while read -r part; do
        echo "### patchcl $command $part"
        echo
        $program "$command" "$part" --help | block
      done ;;
    train)
      $program train --help | block
      $program methods --names | while read -r method; do
        echo "### --method $method"
        echo
        $program train --method "$method" --help | own_groups | block
      done ;;
    *) $program "$command" --help | block ;;
  esac
done
