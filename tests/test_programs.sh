#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: test_programs.sh QUIRE BUILD
# Debian's own programs, as they are, on the reference kernel: they print what they print on this machine, and at least 97 % of their
# faults are speculative. esbuild comes from npm's registry, once, into BUILD. With REPORTS=DIR in the environment what the kernel
# counted for each is left there.
set -u
quire=$(realpath "$1") build=$(realpath "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
environment=(HOME=/ PATH=/usr/local/bin:/usr/bin:/bin)
count=0 status=0
cd /

result()
{
	count=$((count + 1))
	[ "$1" = ok ] || status=1
	echo "$1 $count $2"
}

without()
{
	count=$((count + 1))
	echo "ok $count # SKIP $1"
}

# What is not the program's: lines of the kernel.
spoken()
{
	grep -a '^quire: ' "$dir/guest" | sed 's/^/# /'
	sed -i '/^quire: /d' "$dir/guest"
}

# compare NAME [OPTION OF BOOT]... -- PROGRAM ARGUMENT...
compare()
{
	name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	env -i "${environment[@]}" "$@" >"$dir/host" 2>&1 </dev/null
	wanted=$?
	timeout 200 "$quire" boot --stats --validate --timeout 180 --report "$dir/report" "${options[@]}" -- "$@" \
		>"$dir/guest" </dev/null 2>"$dir/said"
	code=$?
	spoken
	if [ $code = $wanted ] && cmp -s "$dir/host" "$dir/guest"; then
		result ok "$name: the output is the host's"
	else
		echo "# status $code, not $wanted"
		cat "$dir/said"
		diff -a "$dir/host" "$dir/guest" | head -20 | sed 's/^/# /'
		result "not ok" "$name: the output is the host's"
	fi
	faults "$name"
}

faults()
{
	[ -z "${REPORTS-}" ] || cp "$dir/report" "$REPORTS/$1"
	read -r _ all _ speculative < <(grep -m 1 '^faults ' "$dir/report")
	share=$((${speculative:-0} * 10000 / (${all:-0} > 0 ? all : 1)))
	echo "# $1: ${all:-0} faults, $((share / 100)).$(printf %02d $((share % 100))) % speculative;" \
		"$(grep '^classic' "$dir/report" | cut -d ' ' -f 2,3 | paste -sd ,)"
	[ $share -ge 9700 ] && result ok "$1: speculative" || result "not ok" "$1: speculative"
}

there()
{
	command -v "$1" >/dev/null || { without "$1 is not installed"; return 1; }
}

seq 1 200000 | sed 's/$/ and some text that can be packed/' >"$dir/text"
mkdir -p "$dir/tree/a/b" "$dir/tree/c"
for i in {1..60}; do
	echo "contents $i" >"$dir/tree/a/b/file-$i"
	cp "$dir/tree/a/b/file-$i" "$dir/tree/c/other-$((i * 7)).txt"
done

there busybox && compare busybox --file "$dir/text" --dir "$dir/tree" -- "$(command -v busybox)" sh -c "
	cd $dir
	busybox seq 1 20000 | busybox sed 's/\$/ line/' | busybox sort -r | busybox grep 7 | busybox tr a-z A-Z | busybox md5sum
	busybox sort -t ' ' -k 1,1n -r text | busybox head -n 3
	busybox grep -c '99 and' text
	busybox md5sum text
	busybox find tree -name '*7*' | busybox sort
	busybox gzip -c text >text.gz; busybox gunzip -c text.gz | busybox md5sum; busybox gzip -t text.gz && echo whole
	busybox tar cf - tree | busybox tar tf - | busybox wc -l
	for i in 1 2 3 4 5 6 7 8 9 10; do (echo \$((i * i))); done | busybox paste -s -d + -
	exit 5"

there bash-static && compare bash --file "$dir/text" -- "$(command -v bash-static)" -c "
	shopt -s extglob
	declare -A words
	while read -r number rest; do ((number % 1000)) || words[\$number]=\$rest; ((number < 20000)) || break; done <$dir/text
	echo \${#words[@]} \${words[7000]^^}
	for ((i = 0; i < 20000; i++)); do ((sum += i * i % 7)); done; echo \$sum
	text=\$(for i in {1..20}; do echo \"\$i \$(echo nested \$i)\"; done); echo \"\${text//nested/deep}\"
	trap 'echo a signal' USR1; kill -USR1 \$\$; (exit 9) & wait \$!; echo \$?
	printf '%s\n' <(:) >/dev/null; exit 3"

there xz && there busybox && compare xz --file "$(command -v xz)" --file "$dir/text" -- "$(command -v busybox)" sh -c "
	cd $dir
	xz -T2 --block-size=1MiB -1 -k -c text | busybox md5sum
	xz -T2 --block-size=1MiB -1 -k text && xz -T2 -d -c text.xz | busybox md5sum; xz --list --robot text.xz | busybox head -n 2
	rm -f text.xz"

there sqlite3 && compare sqlite3 --file "$dir/text" -- "$(command -v sqlite3)" "$dir/database" "
	create table t(a integer primary key, b text, c integer);
	with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
		insert into t select i, 'row ' || i, i * 7919 % 100003 from n;
	create index by_c on t(c);
	select count(*), sum(a), max(b), min(c) from t;
	select a, b from t where c between 500 and 505 order by c;
	update t set b = upper(b) where a % 10 = 0;
	select b, count(*) from t where a < 12 group by b order by a;
	delete from t where a > 50000; vacuum; pragma integrity_check;
	select count(*) from t;"
rm -f "$dir/database"

python=/usr/bin/python3
there $python && compare python3 --mem 768 --dir "$($python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" -- $python -c '
import hashlib, json, multiprocessing, os, threading

def work(n, out):
    data = bytearray()
    for i in range(200):
        data += bytes([i * n & 255]) * 997
    out[n] = hashlib.sha256(data).hexdigest()

out = {}
threads = [threading.Thread(target=work, args=(n, out)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(out, sort_keys=True))

def square(n):
    return n * n, os.getpid() != os.getppid()

fork = multiprocessing.get_context("fork")
queue = fork.Queue()
process = fork.Process(target=lambda: queue.put(sum(range(10000))))
process.start(); print(queue.get()); process.join(); print(process.exitcode)
with fork.Pool(3) as pool: print(pool.map(square, range(10)))
'

# A static Go program; a fixed version, so that a run says what the last one said.
esbuild=$build/esbuild/package/bin/esbuild
if [ ! -x "$esbuild" ]; then
	mkdir -p "$build/esbuild"
	(cd "$build/esbuild" && timeout 60 npm pack --silent @esbuild/linux-x64@0.25.0 && tar xzf ./*.tgz) >/dev/null 2>&1
fi
if [ -x "$esbuild" ]; then
	mkdir "$dir/project"
	for i in {0..299}; do
		for side in 1 2; do
			child=$((2 * i + side))
			[ $child -gt 299 ] || echo "import { value as v$side } from './m$child.js';"
		done
		echo "export const value = { name: 'module $i', sum: $i$([ $((2 * i + 2)) -gt 299 ] || echo ' + v1.sum + v2.sum') };"
		echo "export function unused(x) { return x?.y ?? $i; }"
	done | awk -v dir="$dir/project" '{ print >(dir "/m" n + 0 ".js") } /^export function/ { close(dir "/m" n + 0 ".js"); n++ }'
	echo 'console.log(value.sum);' >>"$dir/project/m0.js"
	compare esbuild --dir "$dir/project" -- "$esbuild" "$dir/project/m0.js" --bundle --minify --target=es2019
else
	without "esbuild: npm's registry is not reached"
fi
echo "1..$count"
exit $status
