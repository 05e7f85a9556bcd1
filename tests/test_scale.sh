#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_scale.sh SCALE_MODEL FOOTPRINTS
# bench/scale_model, from outside: what the footprints of this tree come to is as docs/scaling.md says; bad usage and bad files
# are refused. Costs are given, so that the same comes out everywhere.
set -eu

model=$1 footprints=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

fail()
{
	echo "test_scale: $*" >&2
	exit 1
}

refused()
{
	status=0
	"$model" --footprints "$footprints" --parameters "$dir/parameters.json" "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = 2 ] || fail "'$*' gave status $status, not 2"
	[ -s "$dir/err" ] || fail "'$*' was refused without a word"
	[ ! -s "$dir/out" ] || fail "'$*' was refused, but printed something"
}

costs='"write": 250, "write_again": 170, "remap": 330, "unmap_page": 30, "dontneed": 80, "drop_page": 25, "local": 380,
	"protect": 320, "fork": 3300, "fork_page": 20, "destroy": 1700, "destroy_page": 25}'
cat >"$dir/parameters.json" <<JSON
{"schema": "quire-scale/1", "parameters": {"atomic": 5, "contended": 50, "transfer_low": 40, "transfer": 50, "transfer_high": 60,
 "costs": [{"mode": "speculative", $costs, {"mode": "vma-lock", $costs, {"mode": "classic", $costs]}}
JSON

echo '{"schema": "quire-bench/1", "results": [' >"$dir/cut.json"
echo '{"schema": "another/1"}' >"$dir/other.json"
echo '{"schema": "quire-scale/1", "parameters": {"transfer": 50}}' >"$dir/half.json"
echo '{"schema": "quire-footprints/1", "loops": []}' >"$dir/empty.json"
refused no-such-loop
refused --no-such-option
refused --cpus 0
refused --cpus 2,1
refused --cpus 1025
refused --cpus 1.5
refused --cpus 2x
refused --socket 0
refused --remote 3
refused --remote 5,3,1
refused --validate "$dir/none.json"
refused --validate "$dir/cut.json"
refused --validate "$dir/other.json"
refused --parameters "$dir/half.json"
refused --footprints "$dir/other.json"
refused --plot "$dir/cut.json"

"$model" --help | grep -q '^usage: scale_model' || fail "--help does not help"
if "$model" --footprints "$dir/empty.json" --parameters "$dir/parameters.json" low-fault >"$dir/out" 2>&1; then
	fail "footprints without loops went through"
fi

# `quire bench --json`, as far as the model reads it.
cat >"$dir/measured.json" <<'JSON'
{"schema": "quire-bench/1", "results": [
 {"loop": "low-fault", "mode": "classic", "cpus": 1, "rate": {"median": 5882353, "max": 6000000, "runs": []}},
 {"loop": "brk1", "mode": "classic", "cpus": 1, "rate": {"median": 1, "max": 1}}]}
JSON
run()
{
	"$model" --footprints "$footprints" --parameters "$dir/parameters.json" --cpus 1,2,32 --validate "$dir/measured.json" \
		--json low-fault local || fail "the model failed"
}
run >"$dir/first.json"
run >"$dir/second.json"
python3 - "$dir/first.json" "$dir/second.json" <<'PYTHON' || fail "the JSON is not right"
import json, sys

report, again = (json.load(open(path)) for path in sys.argv[1:])
assert report['schema'] == 'quire-scale/1'
for key in 'version', 'kernel', 'cpu', 'compiler', 'date', 'command':
	assert report['conditions'][key], key
assert report['results'] == again['results'], 'not the same twice'
rates = {(r['loop'], r['mode'], r['cpus']): r['operations_per_second'] for r in report['results']}
assert len(rates) == 2 * 3 * 3
near = lambda a, b: 0.95 * b < a < 1.05 * b
for mode in 'speculative', 'vma-lock', 'classic':
	# Alone, what was measured comes out again.
	assert near(rates['low-fault', mode, 1], 1e9 / 170), mode
	assert near(rates['local', mode, 1], 1e9 / 380), mode
# Faults of one VMA: side by side; or the lock's line is looked at, changed and changed back: three transfers for each.
assert rates['low-fault', 'speculative', 32] > 0.5 * 32 * rates['low-fault', 'speculative', 1]
assert near(rates['low-fault', 'classic', 32], 1e9 / (3 * 50))
assert near(rates['low-fault', 'vma-lock', 32], 1e9 / (3 * 50))
for r in report['results']:
	assert r['cpus'] == 1 or r['mode'] == 'speculative' or r['far'] < r['operations_per_second'] < r['near'], r
(beside,) = report['validation']
assert (beside['loop'], beside['mode'], beside['cpus']) == ('low-fault', 'classic', 1)
assert near(beside['ratio'], 1) and beside['ratio_to_greatest'] < beside['ratio']
PYTHON
