#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: test_bench_guest.sh QUIRE BUILD
# The loops of bench/guest, scripts/bench-guest and scripts/bench-linux: what they print has the shape that docs/benchmarks.md says,
# bad usage is refused. Linux is booted if its kernel was fetched before (scripts/bench-linux does that): a test fetches nothing.
set -u
quire=$(realpath "$1") build=$(realpath "$2")
cd "$(dirname "$0")/.."
export QUIRE=$quire
loops=$build/bench/guest/loops-guest
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
count=0 status=0

# check STATUS NAME
check()
{
	count=$((count + 1))
	[ "$1" = 0 ] && echo "ok $count $2" && return
	echo "not ok $count $2"
	tail -n 20 "$dir/out" "$dir/err" | sed 's/^/# /'
	status=1
}

# refused WORDS COMMAND...: status 2, and one message with these words
refused()
{
	local words=$1
	shift
	timeout 60 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	[ $? = 2 ] && cat "$dir/out" "$dir/err" | grep -q -e "$words"
	check $? "refused: ${*##*/}"
}

refused 'no such loop' "$loops" local no-such-loop
refused 'threads: no such' "$loops" --threads 0
refused 'threads: no such' "$loops" --threads 17
refused 'repeat: no such' "$loops" --repeat 33
refused 'milliseconds: no such' "$loops" --milliseconds
refused 'of one worker' "$loops" --threads 2 --operations 5
refused "'fast' is none" scripts/bench-guest --systems speculative,fast
refused "'costs' is none" scripts/bench-guest --parts costs
refused 'none/figures' scripts/bench-guest --json "$dir/none/figures"
refused 'which program' scripts/bench-linux --icount
refused 'which program' scripts/bench-linux --
refused '--mode: no such option' scripts/bench-linux --mode=classic -- /bin/true
refused 'cpus: what' scripts/bench-linux --cpus
refused 'not like 6.1' scripts/bench-linux --release newest -- /bin/true
QUIRE=$dir/quire refused 'build it' scripts/bench-linux -- /bin/true

# Each has its own work to do, on the kernel of this machine and counted on the reference kernel.
timeout 60 "$loops" --milliseconds 5 --repeat 2 --mib 2 --threads 2 >"$dir/out" 2>"$dir/err" &&
	[ "$(wc -l <"$dir/out")" = 23 ] && ! grep -qv -P '^[a-z_0-9-]+\t[a-z]+(\t\d+){5}$' "$dir/out"
check $? "the loops on this machine's kernel"
for turn in 1 2; do
	timeout 60 "$quire" boot --icount --timeout 50 -- "$loops" --operations 50 --repeat 1 --mib 2 tlb_flush2 low-fault >"$dir/turn.$turn"
done 2>"$dir/err"
cmp "$dir"/turn.* >"$dir/out" 2>&1 && grep -q -P '^low-fault\toperations\t[1-9]' "$dir/turn.1"
check $? "the same instructions each time"

timeout 200 scripts/bench-guest --quick --systems speculative,classic --json "$dir/figures" >"$dir/out" 2>"$dir/err" &&
	python3 - "$dir/figures" 2>>"$dir/err" <<'PYTHON'
import json, sys

report = json.load(open(sys.argv[1]))
assert report['schema'] == 'quire-guest/1'
for key in 'version', 'compiler', 'cpu', 'cores', 'kernel', 'date', 'load', 'command', 'qemu':
	assert report['conditions'][key] is not None, key
modes = ['speculative', 'classic']
cost = {(row['operation'], row['mode']): row['instructions'] for row in report['cost']}
assert len(cost) == 44 and all(count > 0 for count in cost.values())
fault = [cost['anonymous write fault', mode] for mode in modes]
assert 523 < fault[0] < fault[1] < 5000, fault
latency = {(row['antagonist'], row['mode']): row for row in report['latency']}
assert len(latency) == 20
for what, row in latency.items():
	order = [row[quantile] for quantile in ('p50', 'p99', 'p99_9', 'p99_99', 'max')]
	assert order == sorted(order) and row['kept'] >= 0 and row['cpus'] == 2, what
	assert row['kept'] == 1 or row['antagonist'] != 'spins', what
loops = {(row['loop'], row['mode'], row['cpus']): row for row in report['loops']}
assert len(loops) == 92
for what, row in loops.items():
	assert len(row['rate']['runs']) == report['conditions']['repeat'], what
	assert (row['instructions'] is None) == (row['cpus'] == 2) and row['instructions'] != 0, what
for row in report['cost'] + report['latency'] + report['loops']:
	assert row['system'] == 'quire' and row['mode'] in modes
PYTHON
check $? "bench-guest"

if [ -f "$build/linux/6.1/vmlinuz" ]; then
	busybox=$(command -v busybox)
	timeout 100 scripts/bench-linux --icount --timeout=90 --env A=b -- "$busybox" sh -c 'echo "$A $0"; exit 7' 'x y' >"$dir/out" 2>"$dir/err" </dev/null
	[ $? = 7 ] && [ "$(cat "$dir/out")" = 'b x y' ]
	check $? "a program on Debian's kernel"
else
	count=$((count + 1))
	echo "ok $count # SKIP a program on Debian's kernel: scripts/bench-linux has not fetched it"
fi
echo "1..$count"
exit $status
