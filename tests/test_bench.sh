#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_bench.sh QUIRE
# `quire bench`: every loop runs in every mode, what it prints is what docs/benchmarks.md says, bad usage is refused.
# Only a smoke test: it looks at the shape of the figures, not at their size.
set -eu

quire=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

fail()
{
	echo "test_bench: $*" >&2
	exit 1
}

refused()
{
	status=0
	"$quire" bench "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = 2 ] || fail "'$*' gave status $status, not 2"
	[ -s "$dir/err" ] || fail "'$*' was refused without a word"
	[ ! -s "$dir/out" ] || fail "'$*' was refused, but printed something"
}

refused no-such-loop
refused --no-such-option
refused --modes optimistic
refused --modes classic,
refused --cpus 0
refused --cpus 1,256
refused --cpus 1x
refused --repeat 0
refused --repeat 101
refused --seconds nan
refused --seconds -1
refused --levels 3
refused --antagonist-size 0
refused --instructions no-such-operation
refused --instructions --host first-write
refused --instructions --plot "$dir/plots" first-write
refused --plot
refused --plot /dev/null local
refused --plot "$dir/no/such/directory" local
refused --plot "$dir/plots" --host no-such-loop
[ ! -e "$dir/plots" ] || fail "a directory was made for a loop that is not there"
(PATH=$dir; refused --plot "$dir/plots" local)
grep -q gnuplot "$dir/err" || fail "that gnuplot is missing was not said"

"$quire" bench --help | grep -q '^usage: quire bench' || fail "--help does not help"
"$quire" bench --list >"$dir/list"
for loop in page_fault1 page_fault2 shared-fault ebizzy antagonist-fork; do
	grep -q "^$loop " "$dir/list" || fail "--list does not list $loop"
done
grep -q '^  first-write$' "$dir/list" || fail "--list lists no operations"

# The table: a row for each mode, and the control that was not asked for.
"$quire" bench --quick --seconds 0.02 --cpus 1,2 --host local antagonist-mmap >"$dir/table" ||
	fail "the command failed"
[ "$(grep -c '^local ' "$dir/table")" = 8 ] || fail "the table lacks rows"
[ "$(grep -c '^antagonist-spin ' "$dir/table")" = 4 ] || fail "the control did not run"

cat >"$dir/check.py" <<'PYTHON'
# usage: check.py JSON LIST PLOTS DOCUMENT. Exit status 3: all is right, but of some loop too little happened to say so.
import glob, json, os, sys
import xml.etree.ElementTree as xml

report = json.load(open(sys.argv[1]))
names = [line.split()[0] for line in open(sys.argv[2]).read().split('\n\n')[0].splitlines()]
assert report['schema'] == 'quire-bench/1'
conditions = report['conditions']
for key in 'version', 'port', 'command', 'kernel', 'cpu', 'compiler', 'date':
	assert conditions[key], key
assert conditions['quick'] is True and conditions['repeat'] == 2 and conditions['levels'] == 4
assert conditions['command'].startswith('quire bench --quick') and conditions['cores'] > 0

# Shares of a few faults say nothing: on a busy host a window may hold only a few, or none.
ENOUGH = 500
mostly_speculative = 'page_fault1', 'antagonist-spin', 'page_fault2', 'page_fault3', 'file-read', 'file-read-one', 'ebizzy'
kind_of = {'page_fault1': 'first_write', 'page_fault2': 'object_copy', 'page_fault3': 'object_write',
	'file-read': 'object_read', 'file-read-one': 'object_read', 'shared-fault': 'object_write',
	'ebizzy': 'first_write'}
quires_own = {'speculative_share', 'paths', 'kinds', 'reasons', 'counters', 'answers'}
seen, idle = set(), set()
for r in report['results']:
	what = r['loop'], r['mode'], r['cpus']
	assert what not in seen, what
	seen.add(what)
	rate = r['rate']
	assert len(rate['runs']) == 2, what
	assert 0 <= rate['min'] <= rate['median'] <= rate['max'], what
	assert rate['min'] == min(rate['runs']) and rate['max'] == max(rate['runs']), what
	if rate['max'] == 0:
		idle.add(what)
	if r['group'] == 'antagonists':
		latency = r['latency_ns']
		order = [latency[q] for q in ('p50', 'p99', 'p99.9', 'p99.99', 'max')]
		assert order == sorted(order), what
		assert (order[0] > 0) == (latency['count'] > 0), what
		if latency['count'] == 0:
			idle.add(what)
		ends = [end for end, count in latency['buckets']]
		assert ends == sorted(set(ends)), what
		assert all(count > 0 for end, count in latency['buckets']), what
		assert sum(count for end, count in latency['buckets']) == latency['count'], what
		assert not ends or ends[-1] >= latency['max'] > (ends[-2] if ends[1:] else -1), what
		assert r['antagonist_rate'] >= 0 and r['kept'] >= 0, what
		assert r['kept'] in (0, 1) or r['loop'] != 'antagonist-spin', what
		assert ('kept_apart' in r) == (r['loop'] + '-apart' in names), what
	if r['mode'] == 'host':
		assert not quires_own & set(r), what
		continue
	# Nobody has to answer a thread that is in another space.
	if r['group'] == 'antagonists':
		alone = r['loop'] == 'antagonist-spin' or r['loop'].endswith('-apart')
		assert 0 <= r['answers']['share'] < 1 and (not alone or r['answers']['rate'] == 0), what
		if r['loop'] == 'antagonist-flush' and r['mode'] == 'speculative' and r['answers']['share'] == 0:
			idle.add(what)
	kinds = r['kinds']
	faults = sum(kinds.values())
	assert faults == sum(r['paths'].values()), what
	# Pages of files are in the cache before the loops begin.
	if r['group'] == 'files' and r['loop'] != 'shared-fault':
		assert r['reasons']['page_waits'] == 0, what
	if r['mode'] != 'speculative':
		assert r['paths']['speculative'] == 0 and r['speculative_share'] == 0, what
	if r['loop'] not in kind_of and r['loop'] not in mostly_speculative:
		continue
	if faults < ENOUGH:
		idle.add(what)
		continue
	if r['mode'] == 'speculative' and r['loop'] in mostly_speculative:
		assert r['speculative_share'] > 0.9, what
	if r['loop'] in kind_of:
		assert kinds[kind_of[r['loop']]] >= 0.9 * faults, what
	# Each fault of a reader enters its neighbours, too.
	if r['loop'].startswith('file-read'):
		assert 5 * kinds['object_read'] <= r['counters']['mapped_around'] <= 16 * kinds['object_read'], what

# The document names every key. (Those of paths, kinds and counters are quire/stats.h's.)
document = open(sys.argv[4]).read()
keys = set(report) | set(conditions)
for r in report['results']:
	keys |= set(r) | set(r['rate']) | set(r.get('latency_ns', ())) | set(r.get('answers', ()))
unnamed = [key for key in keys if f'`{key}`' not in document]
assert not unnamed, unnamed

modes = 'speculative', 'vma-lock', 'classic', 'host'
wanted = {(name, mode, 2) for name in names for mode in modes}
assert seen == wanted, seen ^ wanted

if os.path.exists(sys.argv[3]):
	plots = {os.path.basename(path) for path in glob.glob(sys.argv[3] + '/*')}
	groups = {r['group'] for r in report['results']}
	wanted = {group + '.svg' for group in groups} | {'antagonists-kept-2.svg', 'antagonists-latency-2.svg'}
	assert plots == wanted, plots ^ wanted
	for plot in plots:
		text = ''.join(xml.parse(sys.argv[3] + '/' + plot).getroot().itertext())
		for mode in modes:
			assert mode in text, plot
		for r in report['results']:
			group = plot.removesuffix('.svg').removesuffix('-2').removesuffix('-kept').removesuffix('-latency')
			if r['group'] == group and not r['loop'].endswith('-apart'):
				assert r['loop'].removeprefix('antagonist-') in text, (plot, r['loop'])

if idle:
	print('too little happened:', *sorted(idle), file=sys.stderr)
	sys.exit(3)
PYTHON

# A short window is enough on a quiet machine; on a busy one it is made longer.
plot=
if command -v gnuplot >/dev/null; then
	plot="--plot $dir/plots"
else
	echo "test_bench: plots not drawn: there is no gnuplot" >&2
fi
for seconds in 0.02 0.2; do
	"$quire" bench --quick --seconds "$seconds" --repeat 2 --cpus 2 --host --json $plot >"$dir/all.json" ||
		fail "the command failed"
	status=0
	python3 "$dir/check.py" "$dir/all.json" "$dir/list" "$dir/plots" "$(dirname "$0")/../docs/benchmarks.md" || status=$?
	[ "$status" = 3 ] || break
done
[ "$status" = 0 ] || fail "the JSON is not right"

status=0
(PATH=$dir; exec "$quire" bench --instructions first-write) >"$dir/out" 2>"$dir/err" || status=$?
[ "$status" = 1 ] && grep -q "no valgrind" "$dir/err" || fail "that valgrind is missing was not said"

# Counting needs valgrind, and a program that it can run (not one with sanitizers).
status=0
"$quire" bench --instructions --modes speculative --json first-write mmap-munmap \
	file-private-write file-read-page 2>"$dir/err" >"$dir/count.json" || status=$?
if [ "$status" != 0 ]; then
	grep -q "can't count" "$dir/err" || fail "--instructions failed"
	echo "test_bench: instructions not counted: valgrind does not run this program" >&2
	exit 0
fi
python3 - "$dir/count.json" <<'PYTHON' || fail "the JSON of --instructions is not right"
import json, sys

report = json.load(open(sys.argv[1]))
assert report['results'] == [] and report['clear_page'] > 0 and report['copy_page'] > 0
rows = {r['operation']: r for r in report['instructions']}
assert set(rows) == {'first-write', 'mmap-munmap', 'file-private-write', 'file-read-page'}
first, mapping = rows['first-write'], rows['mmap-munmap']
assert first['mode'] == 'speculative'
assert abs(first['instructions'] - first['without_page'] - report['clear_page']) < 1
assert 50 < first['without_page'] < 100000
assert abs(first['without_page'] - first['software'] - report['translation_miss']) < 1
assert 50 < first['software'] < 100000
assert mapping['without_page'] == mapping['instructions'] > 50
copied, read = rows['file-private-write'], rows['file-read-page']
assert abs(copied['instructions'] - copied['without_page'] - report['copy_page']) < 1
assert 50 < copied['without_page'] < 100000
# A fault for 16 pages.
assert 10 < read['instructions'] == read['without_page'] < copied['without_page']
PYTHON
