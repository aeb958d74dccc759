#!/usr/bin/env bash
# Makes one virtual environment for each test/peers/requirements-NAME.txt, as .venv-peers/NAME. Does nothing for those
# that are up to date. Usage: setup.sh [NAME …]
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for file in test/peers/requirements-*.txt; do
    name=${file#test/peers/requirements-}
    names+=("${name%.txt}")
  done
fi

for name in "${names[@]}"; do
  requirements=test/peers/requirements-$name.txt
  venv=.venv-peers/$name
  if cmp -s "$requirements" "$venv/installed.txt"; then continue; fi
  echo "peers: installing $requirements into $venv" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  # A first line "# no-deps" leaves out what the packages would pull in, "# on NAME" does too and takes them from another
  # environment (a torch is gigabytes).
  options=()
  if [[ "$(head -n 1 "$requirements")" =~ ^#\ (no-deps|on\ (.+))$ ]]; then
    options+=(--no-deps)
    base=${BASH_REMATCH[2]}
    if [ -n "$base" ]; then
      bash test/peers/setup.sh "$base"
      for site in "$venv"/lib/python*/site-packages; do
        echo "$PWD/.venv-peers/$base/lib/${site#"$venv"/lib/}" > "$site/base.pth"
      done
    fi
  fi
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${options[@]}" -r "$requirements"
  cp "$requirements" "$venv/installed.txt"
done
