#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_retry.sh RETRY QUIRE
# bench/retry: as many faults begin again as were to, and for the reason that was given; the policies differ as they must; bad usage
# is refused. (The program itself compares each window's counters with what it forced, and has the space validated.)
# scripts/retry-reasons: says of bench loops and of recordings what was counted.
set -eu

retry=$(realpath "$1") quire=$(realpath "$2")
reasons=$(dirname "$0")/../scripts/retry-reasons
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

fail()
{
	echo "test_retry: $*" >&2
	exit 1
}

refused()
{
	status=0
	"$retry" "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = 2 ] || fail "'$*' gave status $status, not 2"
	[ -s "$dir/err" ] || fail "'$*' was refused without a word"
	[ ! -s "$dir/out" ] || fail "'$*' was refused, but printed something"
}

refused --no-such-option
refused no-such-operation
refused --repeat 0
refused --repeat 100
refused --faults 4001
refused --faults x
refused --plot /dev/null

"$retry" --help | grep -q '^usage: retry' || fail "--help does not help"
"$retry" --list | grep -qx 'cow-copy' || fail "--list does not list"
"$retry" --quick --no-instructions leaf-write >"$dir/table" || fail "the command failed"
grep -q '^leaf-write, table_changed' "$dir/table" || fail "the table lacks its title"
[ "$(grep -c '^hand-over ' "$dir/table")" = 1 ] || fail "the table lacks a line"

"$retry" --quick --no-instructions --json >"$dir/all.json" || fail "the command failed"

# Counting needs valgrind, and a program that it can run (not one with sanitizers).
if ! "$retry" --quick --json first-write leaf-write >"$dir/counted.json" 2>"$dir/err"; then
	grep -q "can't count" "$dir/err" || fail "counting failed: $(cat "$dir/err")"
	echo "test_retry: instructions not counted: valgrind does not run this program" >&2
	rm "$dir/counted.json"
fi

python3 - "$dir" <<'PYTHON' || fail "the JSON is not right"
import json, os, sys

report = json.load(open(sys.argv[1] + '/all.json'))
assert report['schema'] == 'quire-retry/1'
for key in 'version', 'compiler', 'cpu', 'cores', 'kernel', 'date', 'command':
	assert report['conditions'][key], key
seen = set()
for r in report['results']:
	what = r['operation'], r['reason'], r['per'], r['policy'], r['rate']
	assert what not in seen, what
	seen.add(what)
	assert 0 < r['spread']['min'] <= r['nanoseconds'] <= r['spread']['max'], what
	assert r['instructions'] is None, what
	rate, retries, classic = r['rate'], r['retries_per_fault'], r['classic_share']
	at_once = r['policy'].startswith('classic')
	if r['per'] == 'fault' or at_once:
		# By attempts, how many fail is left to chance.
		assert abs(retries - rate) <= (0 if r['per'] == 'fault' else 0.1), (what, retries)
		assert classic == (retries if at_once else 0), (what, classic)
	else:
		# It fails again and again, eight times at most: then it goes to the classic path.
		wanted = sum(rate ** n for n in range(1, 9))
		assert abs(retries - wanted) <= 0.2 * wanted, (what, retries, wanted)
		assert abs(classic - rate ** 8) <= 0.1, (what, classic)
assert {r['policy'] for r in report['results']} == {'retry', 'hand-over', 'classic', 'classic-anew'}
assert {r['reason'] for r in report['results']} == {'vma_changed', 'table_changed', 'entry_changed', 'entry_busy', 'page_changed',
	'page_waits'}
assert len(report['costs']) * 8 == sum(r['per'] == 'fault' for r in report['results'])
assert len(report['break_even']) * 44 == sum(r['per'] == 'attempt' for r in report['results'])

if not os.path.exists(sys.argv[1] + '/counted.json'):
	sys.exit()
report = json.load(open(sys.argv[1] + '/counted.json'))
assert {r['operation'] for r in report['results']} == {'first-write', 'leaf-write'}
count = {(r['operation'], r['reason'], r['per'], r['policy'], r['rate']): r['instructions'] for r in report['results']}
for (operation, reason, per, policy, rate), instructions in count.items():
	none = count[operation, reason, per, policy, 0]
	assert instructions > none > 300 or rate == 0, (operation, reason, per, policy, rate)
cost = {(c['operation'], c['reason'], c['policy']): c['instructions'] for c in report['costs']}
for operation, reason in ('first-write', 'vma_changed'), ('leaf-write', 'table_changed'):
	kept, anew, classic, both = (cost[operation, reason, policy] for policy in ('hand-over', 'retry', 'classic', 'classic-anew'))
	assert 50 < kept < anew and kept < classic < both, (operation, kept, anew, classic, both)
# A page that is prepared anew is cleared anew.
assert cost['first-write', 'vma_changed', 'retry'] > cost['first-write', 'vma_changed', 'hand-over'] + 400
even = [b['instructions'] for b in report['break_even']]
assert len(even) == 1 and 0 < even[0] < 1, even
PYTHON

# What scripts/retry-reasons says of a loop and of a recording is what the bench and the replay say.
"$quire" bench --json --quick --seconds 0.1 --modes speculative --cpus 2 antagonist-mprotect-vma >"$dir/bench.json" || fail "the bench failed"
QUIRE=$quire "$reasons" --quick --json --bench "$dir/bench.json" >"$dir/reasons.json" || fail "retry-reasons failed"
python3 - "$dir" <<'PYTHON' || fail "the reasons are not right"
import json, sys

bench, report = (json.load(open(f'{sys.argv[1]}/{name}.json')) for name in ('bench', 'reasons'))
assert report['schema'] == 'quire-reasons/1' and report['conditions']['cpu'] == bench['conditions']['cpu']
assert {r['source'] for r in report['results']} == {'bench', 'replay'}
rows = {r['workload']: r for r in report['results']}
for loop in bench['results']:
	row = rows[loop['loop']]
	assert row['faults'] == sum(loop['paths'].values()) and row['speculative'] == loop['paths']['speculative']
	assert row['retries'] | row['classic'] == loop['reasons']
assert rows['calls']['faults'] > 100 and rows['calls']['retries']['page_waits'] > 0
PYTHON
status=0
"$reasons" --bench "$dir/nowhere" >"$dir/out" 2>"$dir/err" || status=$?
[ "$status" = 2 ] && [ -s "$dir/err" ] && [ ! -s "$dir/out" ] || fail "retry-reasons takes a file that is not there"

mkdir "$dir/path"
(PATH=$dir/path && refused --quick --no-instructions --plot "$dir/plots" leaf-write)
grep -q gnuplot "$dir/err" || fail "a missing gnuplot is not told"
command -v gnuplot >/dev/null || exit 0
"$retry" --quick --no-instructions --plot "$dir/plots" leaf-write >"$dir/out" || fail "--plot failed"
grep -q '</svg>' "$dir/plots/retry-leaf-write.svg" || fail "--plot draws nothing"
[ "$(ls "$dir/plots")" = retry-leaf-write.svg ] || fail "--plot leaves more than drawings"
