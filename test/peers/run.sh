#!/usr/bin/env bash
# Tests against the real Python tools: makes their environments, builds the package, runs test/peers.
# Arguments go to vitest, e.g. `npm run test:peers -- test/peers/zero`.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/peers/system.sh
bash test/peers/setup.sh
npm run --silent build
npx vitest run --config vitest.peers.config.ts "$@"
