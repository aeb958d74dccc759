#!/usr/bin/env bash
# Makes one virtual environment for each test/peers/requirements-NAME.txt, as .venv-peers/NAME. Does nothing for those
# that are up to date. Usage: setup.sh [NAME …]
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"

if [ $# -ne 1 ]; then
  names=("$@")
  if [ $# -eq 0 ]; then
    for file in test/peers/requirements-*.txt; do
      name=${file#test/peers/requirements-}
      # The largest comes last by name, and is begun first.
      names=("${name%.txt}" "${names[@]}")
    done
  fi
  alone=()
  onothers=()
  for name in "${names[@]}"; do
    if grep -q '^# on ' "test/peers/requirements-$name.txt"; then onothers+=("$name"); else alone+=("$name"); fi
  done
  # Two at a time: one unpacks while the other downloads. Those that stand on others come when those are there.
  printf '%s\n' "${alone[@]}" | xargs -r -P 2 -n 1 bash test/peers/setup.sh
  printf '%s\n' "${onothers[@]}" | xargs -r -n 1 bash test/peers/setup.sh
  exit
fi

name=$1
requirements=test/peers/requirements-$name.txt
venv=.venv-peers/$name
# A first line "# no-deps" leaves out what the packages would pull in, "# on NAME" does too and takes them from another
# environment (a torch is gigabytes).
options=()
base=
if [[ "$(head -n 1 "$requirements")" =~ ^#\ (no-deps|on\ (.+))$ ]]; then
  options+=(--no-deps)
  base=${BASH_REMATCH[2]}
  if [ -n "$base" ]; then bash test/peers/setup.sh "$base"; fi
fi
if cmp -s "$requirements" "$venv/installed.txt"; then exit; fi
echo "peers: installing $requirements into $venv" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
if [ -n "$base" ]; then
  for site in "$venv"/lib/python*/site-packages; do
    echo "$PWD/.venv-peers/$base/lib/${site#"$venv"/lib/}" > "$site/base.pth"
  done
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check "${options[@]}" -r "$requirements"
cp "$requirements" "$venv/installed.txt"
