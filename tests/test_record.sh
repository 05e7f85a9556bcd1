#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_record.sh QUIRE RECORD_PROGRAM
# `quire record`: the trace holds every call and fault that the program says it made, in that order and with those results; the
# layouts are those of /proc; threads and processes may come and go in any way; the exit status is the program's.
set -eu

quire=$1
program=$(realpath "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

fail()
{
	echo "test_record: $*" >&2
	exit 1
}

# record STATUS COMMAND...: into $dir/t.gz, as text in $dir/t
record()
{
	wanted=$1
	shift
	status=0
	timeout 60 "$quire" record -q -o "$dir/t.gz" -- "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = "$wanted" ] || fail "'$*' gave status $status, not $wanted: $(cat "$dir/err")"
	gzip -dc "$dir/t.gz" >"$dir/t"
}

# no_file STATUS ARGUMENT...: refused with one line, and nothing is left
no_file()
{
	wanted=$1
	shift
	status=0
	timeout 60 "$quire" record "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = "$wanted" ] || fail "'$*' gave status $status, not $wanted"
	[ "$(wc -l <"$dir/err")" = 1 ] || fail "'$*' did not say one line: $(cat "$dir/err")"
	[ -z "$(ls "$dir" | grep '^none')" ] || fail "'$*' left a file"
}

if ! timeout 60 "$quire" record -q -o "$dir/t.gz" true 2>"$dir/err"; then
	echo "test_record: skipped, recording is not possible here: $(cat "$dir/err")" >&2
	exit 77
fi

# The life of one program, against what it says and what /proc says.
record 5 "$program" calls
python3 - "$dir/t" "$dir/out" "$program" <<'PYTHON' || fail "the trace of 'calls' is not right"
import os, sys

trace, told, program = open(sys.argv[1]).read().splitlines(), open(sys.argv[2]).read().splitlines(), sys.argv[3]
assert trace[0].startswith('# trace ') and ' v2: ' in trace[0], trace[0]
exact = 'tracepoints' in trace[1]
lines = [l.split(' ') for l in trace if l[0] != '#']
times = [int(l[0]) for l in lines]
assert times == sorted(times) and times[0] == 0
leader = lines[0][1]

# First comes the execve, then the layout that it made.
assert lines[0][4:] == ['E', program], lines[0]
first = [l[4] for l in lines]
layout = lines[1:first.index('F')]
assert layout[0][4:6] == ['O', 'ffffffff'] and layout[1][4] == 'V' and any(l[-1] == '[stack]' for l in layout)
assert any(l[-1] == program for l in layout)

# Before the first line of each file: which it is.
for i, l in enumerate(layout):
	if l[4] == 'V' and l[9] != '0' and layout[i - 1][-1] != l[-1]:
		raise AssertionError(l)
	if l[4] == 'O':
		st = os.stat(l[-1])
		assert l[6:8] == ['%x:%d' % (st.st_dev, st.st_ino), '%x' % st.st_size], l
assert not any('[vsyscall]' in l for l in lines)

# What the program told is there, in its order.
def plain(l):
	op, args = l[4], l[5:]
	if op == 'O':
		return ' '.join([op, args[0], args[3]])
	if op == 'C':
		return ' '.join([op, args[0]])
	return ' '.join([op] + (args[1:] if '=' in args else args))

mine = iter([plain(l) for l in lines if l[1] == leader])
everyone = [plain(l) for l in lines]
for wanted in told:
	op, address = wanted.split(' ')[:2]
	if wanted == told[-1]: # the child's fault, or the parent's, whoever was first
		assert not exact or wanted in everyone, wanted
	elif op not in 'FK' or exact:
		assert any(found == wanted for found in mine), wanted

child = told[-2].split()[1]
assert any(l[1] == child and l[4] == 'X' for l in lines), 'the child has no end'
for pid in leader, child:
	final = [l for l in lines if l[1] == pid and l[4] == 'Z']
	assert any(l[-1] == '[stack]' for l in final), 'no final layout'
	assert [int(l[5], 16) for l in final] == sorted(int(l[5], 16) for l in final)
ends = [i for i, l in enumerate(lines) if l[2] == leader and l[4] == 'X']
assert len(ends) == 1
assert not any(l[2] == leader for l in lines[ends[0] + 1:])
PYTHON

# The layout after execve and at the end is what the program itself reads.
record 0 cat /proc/self/maps
python3 - "$dir/t" "$dir/out" <<'PYTHON' || fail "the layout is not that of /proc"
import sys

def row(start, end, rights, offset, inode, name):
	return int(start, 16), int(end, 16), rights, int(offset, 16), inode, name

maps = []
for l in open(sys.argv[2]):
	span, rights, offset, device, inode, *name = l.split()
	if name != ['[vsyscall]']:
		maps.append(row(*span.split('-'), rights, offset, inode, ' '.join(name)))
final = []
for l in open(sys.argv[1]):
	l = l.rstrip('\n').split(' ')
	if len(l) > 4 and l[4] == 'Z':
		final.append(row(*l[5:10], ' '.join(l[10:])))
# cat gives its buffer back before it ends; the rest is the same
assert set(final) <= set(maps) and len(maps) - len(final) <= 1, set(maps) ^ set(final)
PYTHON

count()
{
	grep -c "^[0-9]* [0-9]* [0-9]* [0-9]* $1\( \|\$\)" "$dir/t" || true
}

# all_end: each task that was made has ended, once, and says nothing after its end
all_end()
{
	python3 - "$dir/t" <<'PYTHON' || fail "$1: a task has no proper end"
import sys

lines = [l.split() for l in open(sys.argv[1]) if l[0] != '#']
made = {lines[0][2]} | {l[5] for l in lines if l[4] == 'C'}
seen, ended = set(), set()
for l in lines:
	assert l[2] not in ended, l
	seen.add(l[2])
	if l[4] == 'X':
		ended.add(l[2])
assert made == seen == ended, (made ^ seen, made ^ ended)
PYTHON
}

# explained: every last layout is what the first one and the calls make of it
explained()
{
	python3 - "$dir/t" <<'PYTHON'
import sys

PAGE = 4096

def pages(start, length):
	return range(start, start + (length + PAGE - 1) // PAGE * PAGE, PAGE)

def rights(prot, sharing):
	return ''.join(c if prot & bit else '-' for c, bit in zip('rwx', (1, 2, 4))) + sharing

spaces, final, heap, borrowed = {}, {}, {}, {}
lines = [l.rstrip('\n').split(' ') for l in open(sys.argv[1]) if l[0] != '#']
# A call takes effect when it returns, near enough.
lines.sort(key=lambda l: int(l[0]) + (int(l[5]) if l[4] in 'MUPBR' else 0))
for t, pid, tid, cpu, op, *args in lines:
	space = spaces.setdefault(borrowed.get(pid, pid), {})
	if op == 'C' and len(args) == 2:
		child, flags = args[0], int(args[1], 16)
		if flags & 0x10100 == 0x100:
			borrowed[child] = pid
		elif not flags & 0x10000:
			spaces[child], heap[child] = dict(space), heap.get(pid)
	elif op == 'E':
		borrowed.pop(pid, None)
		spaces[pid], heap[pid] = {}, None
	elif op in 'VZ':
		if op == 'Z' and args[-1] != '[stack]': # a stack grows by itself
			space = final.setdefault(pid, {})
		for page in range(int(args[0], 16), int(args[1], 16), PAGE):
			space[page] = args[2]
			if op == 'Z':
				final.setdefault(pid, {})[page] = args[2]
	elif op in 'MUPBR' and args[-1][0] != '-':
		values = [int(a, 16) for a in args[1:-2]]
		result = int(args[-1], 16)
		if op == 'M':
			for page in pages(result, values[1]):
				space[page] = rights(values[2], 's' if values[3] & 1 else 'p')
		elif op == 'U':
			for page in pages(*values):
				space.pop(page, None)
		elif op == 'P':
			for page in pages(values[0], values[1]):
				space[page] = rights(values[2], space[page][3])
		elif op == 'R':
			kind = space[values[0]]
			for page in pages(values[0], values[1]):
				space.pop(page, None)
			for page in pages(result, values[2]):
				space[page] = kind
		else:
			before = heap[pid] if heap.get(pid) else result
			heap[pid] = result
			before, result = (-(-end // PAGE) * PAGE for end in (before, result))
			for page in pages(before, result - before):
				space[page] = 'rw-p'
			for page in pages(result, before - result):
				space.pop(page, None)
assert final
for pid, layout in final.items():
	wrong = {page for page in layout.keys() | spaces[pid].keys() if layout.get(page) != spaces[pid].get(page)}
	assert not wrong, (pid, [hex(page) for page in sorted(wrong)[:4]])
PYTHON
}

# recorded_well STATUS WHAT: and explained, where threads that ran side by side may have taken effect in another order once or twice
recorded_well()
{
	for attempt in 1 2 3 4; do
		record "$1" "$program" "$2"
		all_end "$2"
		if explained 2>"$dir/why"; then
			return
		fi
	done
	fail "$2: the layout at the end is not explained: $(tail -1 "$dir/why")"
}

record 5 "$program" calls
explained || fail "calls: the layout at the end is not explained"

recorded_well 5 threads
[ "$(count C)" = 4 ] || fail "threads: not four threads"
[ "$(count M)" -ge 400 ] || fail "threads: mmaps are missing"
[ "$(count F)" -ge 6400 ] || fail "threads: faults are missing"

recorded_well 0 exec-in-thread
[ "$(count E)" = 2 ] || fail "exec-in-thread: not two execs"

recorded_well 0 leader-first
[ "$(count X)" = 5 ] || fail "leader-first: not five ends"
grep -q ' Z ' "$dir/t" || fail "leader-first: no final layout"

recorded_well 5 exit-among-threads

recorded_well 5 killed

recorded_well 5 spawned
[ "$(count E)" = 6 ] || fail "spawned: not six execs"
[ "$(grep -c ' C [0-9]* 4100$' "$dir/t")" = 6 ] || fail "spawned: not six vforks"

recorded_well 5 stopped

record 139 "$program" crash
all_end crash
grep -q ' F 8 ' "$dir/t" || fail "crash: the last fault is missing"

record 0 sh -c 'ls / | sort | cat'
all_end pipeline
explained || fail "pipeline: the layout at the end is not explained"
[ "$(count E)" = 4 ] || fail "pipeline: not four execs"
record 7 sh -c 'exit 7'
record 143 sh -c 'kill -TERM $$'

# A program's files: what is recorded of them, and the replay of it, which has them and doesn't change them.
head -c $((10 * 4096 + 2000)) /dev/urandom >"$dir/file"
inode=$(stat -c %i "$dir/file")
record 5 "$program" files "$dir/file"
all_end files
explained || fail "files: the layout at the end is not explained"
for line in " O [0-9a-f]* [0-9a-f]*:$inode a7d0 $dir/file" " O [0-9a-f]* [0-9a-f]*:$inode 4000 $dir/file" \
	" O [0-9a-f]* [0-9a-f]*:$inode f000 $dir/file" " S [0-9]* [0-9a-f]* c000 4 = 0"; do
	grep -q "$line\$" "$dir/t" || fail "files: no line '$line'"
done
before=$(sha256sum "$dir/file"; stat -c '%y %z %s' "$dir/file")
"$quire" replay --strict --json "$dir/t.gz" >"$dir/json" || fail "files: the replay disagrees: $(cat "$dir/json")"
python3 - "$dir/json" <<'PYTHON' || fail "files: the replay does not have the files"
import json, sys

r = json.load(open(sys.argv[1]))
assert r['files'] >= 4 and r['stand_ins'] == 0 and r['file_troubles'] == [], r
assert r['file_faults'] > 40 and r['contents_compared'] > 40 and r['classic']['beyond_end'] >= 3, r
PYTHON
[ "$before" = "$(sha256sum "$dir/file"; stat -c '%y %z %s' "$dir/file")" ] || fail "files: the replay has changed a file"

# A signal that is sent to the recorder reaches the program, and the recording is kept.
timeout 60 "$quire" record -q -o "$dir/s.gz" sleep 30 &
recorder=$!
sleep 1
kill -TERM "$recorder"
status=0
wait "$recorder" || status=$?
[ "$status" = 143 ] || [ "$status" = 124 ] || fail "SIGTERM gave status $status"

no_file 127 -o "$dir/none" no-such-program
no_file 126 -o "$dir/none" /etc/passwd
no_file 2 -o "$dir/none"
no_file 2 true
no_file 2 -o "$dir/no/such/none" true
no_file 2 -q -o /dev/full true
(ulimit -f 1; trap '' XFSZ; no_file 2 -q -o "$dir/none" "$program" threads)
"$quire" record --help | grep -q '^usage: quire record' || fail "--help does not help"

# A recorder inside a recorder can't trace; it says so. (Neither can a leak sanitizer.)
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
record 2 "$quire" record -o "$dir/none" true
grep -q ptrace "$dir/err" || fail "a nested recorder does not say what is wrong"

# Without privileges there are no error codes, and the trace does not invent any.
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	mkdir -m 777 "$dir/open"
	chmod 755 "$dir"
	status=0
	setpriv --reuid 65534 --regid 65534 --clear-groups "$quire" record -q -o "$dir/open/t.gz" /bin/true \
		2>"$dir/err" || status=$?
	if [ "$status" = 0 ]; then
		gzip -dc "$dir/open/t.gz" | grep -q ' F [0-9a-f]* -$' || fail "no faults without privileges"
		! gzip -dc "$dir/open/t.gz" | grep -q ' F [0-9a-f]* [0-9]' || fail "an invented error code"
	else
		grep -q perf_event_paranoid "$dir/err" || fail "unprivileged: $(cat "$dir/err")"
	fi
fi
echo "test_record: well"
