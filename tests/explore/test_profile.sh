#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_profile.sh SOURCE BUILD
# scripts/profile-fault with the programs of this build: its parts add up, and the fault's one atomic step is the leaf's lock.
set -eu
source=$1 build=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

for wrong in "--output $dir/none/x" "--build $dir" --no-such-option; do
	status=0
	"$source/scripts/profile-fault" $wrong >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = 2 ] && [ -s "$dir/err" ] && [ ! -s "$dir/out" ] || { echo "$wrong gave status $status" >&2; exit 1; }
done
valgrind --version >"$dir/out" 2>&1 || { echo "no valgrind: not tested" >&2; exit 77; }

"$source/scripts/profile-fault" --build "$build" --output "$dir/profile.json"
python3 - "$dir/profile.json" <<'PYTHON'
import json, sys

profile = json.load(open(sys.argv[1]))
assert profile['schema'] == 'quire-profile/1' and profile['conditions']['version']
functions = {f['name']: f for f in profile['functions']}
assert abs(sum(f['exclusive'] for f in functions.values()) - profile['instructions']) < 2
assert all(0 < f['exclusive'] <= f['inclusive'] + 0.01 <= profile['instructions'] + 2 for f in functions.values())
fault = functions['quire_fault']['inclusive'] - profile['clear_page']
assert 0 < fault < profile['software'] < profile['instructions'] - profile['clear_page']
lines = {line['what']: line for line in profile['lines']}
assert len(lines) == len(profile['lines'])
assert {what: line['atomics'] for what, line in lines.items() if line['atomics']} == {'leaf.lock': 1}
assert lines['leaf entry']['writes'] == 1 and lines['caches']['reads'] > 0 == lines['caches']['writes']
# The CPU knows what is mapped in the leaf.
assert not any(what.startswith(('vma', 'mm.tree', 'tree node')) for what in lines)
PYTHON
