#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: test_boot.sh QUIRE
# `quire boot`, from outside: what it packs, how it ends, what it says when it can't.
set -u
quire=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
export TMPDIR=$dir/temporary
mkdir "$TMPDIR"
busybox=$(command -v busybox)
count=0 status=0

# expect NAME STATUS OUTPUT: of the last run; nothing is left behind
expect()
{
	count=$((count + 1))
	if [ "$code" = "$2" ] && cmp -s <(printf "$3") "$dir/out" && [ -z "$(ls "$TMPDIR")" ]; then
		echo "ok $count $1"
		return
	fi
	echo "not ok $count $1"
	echo "# status $code, not $2; left: $(ls "$TMPDIR")"
	sed 's/^/# /' "$dir/out" "$dir/err"
	status=1
}

run()
{
	timeout 100 "$quire" boot --timeout 60 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	code=$?
}

# refused NAME WORDS: with one clear message
refused()
{
	count=$((count + 1))
	if [ "$code" = 2 ] && grep -q "$2" "$dir/err" && [ "$(wc -l <"$dir/err")" -le 2 ] && [ -z "$(ls "$TMPDIR")" ]; then
		echo "ok $count $1"
		return
	fi
	echo "not ok $count $1: status $code, $(cat "$dir/err")"
	status=1
}

run -- "$busybox" sh -c 'echo "$A" "$0" "$1|"; exit 7' 'x y' ''
expect "arguments and the exit status" 7 ' x y |\n'
run --env 'A=b c' --env B= -- "$busybox" sh -c 'echo "$A" "$B|"'
expect "environment" 0 'b c |\n'
run -- "$busybox" printf 'a\r\nb\n\r\r\nc'
expect "bytes as they are" 0 'a\r\nb\n\r\r\nc'
run -- "$busybox" sh -c 'kill -9 $$'
expect "a signal" 137 ''
run -- /bin/true
expect "a program with libraries" 0 ''

printf 'text' >"$dir/file"
mkdir -p "$dir/tree/below"
cp "$dir/file" "$dir/tree/below/one"
ln -s below/one "$dir/tree/link"
run --file "$dir/file:/etc/other" --dir "$dir/tree:/data" --dir "$dir/tree" -- "$busybox" sh -c \
	"busybox cat /etc/other /data/link $dir/tree/below/one; busybox readlink /data/link"
expect "files and directories" 0 'texttexttextbelow/one\n'
printf '#!%s cat\nscript\n' "$busybox" >"$dir/script"
chmod +x "$dir/script"
run -- "$dir/script"
expect "a script" 0 "#!$busybox cat\nscript\n"

run --report "$dir/report" --stats --validate --levels 5 --cpus 1 -- /bin/true
expect "statistics" 0 ''
count=$((count + 1))
if grep -q '^faults [0-9]* speculative [1-9]' "$dir/report" && grep -qx 'validate ok' "$dir/report" &&
	! grep -q '^exit' "$dir/report"; then
	echo "ok $count the report"
else
	echo "not ok $count the report: $(cat "$dir/report")"
	status=1
fi
for off in '--mode classic' '--mode vma-lock' '--speculation off'; do
	# shellcheck disable=SC2086 # two words
	run --report "$dir/report" --stats $off -- /bin/true
	expect "$off" 0 ''
	count=$((count + 1))
	grep -q '^faults [0-9]* speculative 0$' "$dir/report" && echo "ok $count $off: no fault is speculative" ||
		{ echo "not ok $count $off: $(head -1 "$dir/report")"; status=1; }
done
run --icount -- "$busybox" sh -c 'busybox grep -c ^processor /proc/cpuinfo'
expect "one CPU where instructions are counted" 0 '1\n'

printf 'typed\nhalf' | timeout 100 "$quire" boot --timeout 60 --stdin -- "$busybox" sh -c \
	'busybox stty -echo; echo ready; busybox cat' >"$dir/out" 2>"$dir/err"
code=$?
count=$((count + 1))
[ $code = 0 ] && [ "$(tail -c 11 "$dir/out" | tr -d '\n')" = "typedhalf" ] && echo "ok $count standard input" ||
	{ echo "not ok $count standard input: $code $(cat "$dir/out")"; status=1; }

run --timeout 3 -- "$busybox" sleep 1000
expect "out of time" 255 ''
run --qemu false -- /bin/true
expect "the machine was lost" 255 ''
timeout --signal=INT --kill-after=10 3 "$quire" boot -- "$busybox" sleep 1000 >"$dir/out" 2>"$dir/err" </dev/null
code=$?
expect "interrupted" 124 ''

for signal in HUP QUIT TERM; do
	number=$(kill -l $signal)
	env --default-signal=$signal "$quire" boot --timeout 60 -- "$busybox" sh -c 'echo up; busybox sleep 1000' \
		>"$dir/out" 2>"$dir/err" </dev/null & # in the background QUIT would be ignored
	pid=$!
	for _ in {1..300}; do
		grep -q up "$dir/out" && break
		sleep 0.1
	done
	kill -$signal $pid
	wait $pid
	code=$?
	expect "SIG$signal" $((128 + number)) 'up\n'
done
"$quire" boot --timeout 60 -- "$busybox" yes 2>"$dir/err" </dev/null | head -1 >"$dir/out"
code=${PIPESTATUS[0]}
expect "nobody reads" 141 'y\n'
[ ! -s "$dir/err" ] || { echo "# not quiet: $(cat "$dir/err")"; status=1; }

# says NAME STATUS WORDS...: each on the standard error or the output
says()
{
	local name=$1 bad=0
	[ "$code" = "$2" ] || bad=1
	shift 2
	for words; do
		cat "$dir/out" "$dir/err" | grep -q -e "$words" || bad=1
	done
	count=$((count + 1))
	[ $bad = 0 ] && echo "ok $count $name" && return
	echo "not ok $count $name: status $code, $(cat "$dir/out" "$dir/err")"
	status=1
}

echo 'int one(void); int two(void); int main(void) { return one() + two(); }' >"$dir/main.c"
for name in one two; do
	echo "int $name(void) { return 0; }" | cc -shared -fPIC -x c - -o "$dir/libabsent-$name.so"
done
cc "$dir/main.c" -o "$dir/main" -L"$dir" -labsent-one -labsent-two
rm "$dir"/libabsent-*.so
run -- "$dir/main"
says "libraries that are not here" 127 'library libabsent-one.so is not here' 'library libabsent-two.so is not here'
printf 'neither\n' >"$dir/neither"
chmod +x "$dir/neither"
run -- "$dir/neither"
says "no format" 126 "^quire: .* can't be run: not an executable format"
printf '#!/no/such/interpreter\n' >"$dir/neither"
run -- "$dir/neither"
says "no interpreter" 127 "^quire: .* can't be run: it or its interpreter is not there"
mkfifo "$dir/tree/fifo"
run --dir "$dir/tree:/data" -- /bin/true
says "a fifo is left out" 0 'not packed: .*/tree/fifo'

run -- /no/such/program
refused "no program" 'no such program'
run -- "$dir/file"
refused "not a program" 'not executable'
run
refused "nothing to run" 'which program'
run --cpus 0 -- /bin/true
refused "no CPUs" 'cpus'
run --cpus 65 -- /bin/true
refused "too many CPUs" 'at most 64'
run --profile-marked -- /bin/true
refused "nothing to profile" 'needs --profile'
run -- "$dir/tree"
refused "a directory as program" 'is a directory'
run --env x -- /bin/true
refused "no environment" 'NAME=VALUE'
run --file "$dir/none" -- /bin/true
refused "no such file" 'none: No such file or directory$'
run --dir "$dir/file" -- /bin/true
refused "no such directory" 'not a directory'
run --kernel "$dir/none" -- /bin/true
refused "no such kernel" 'none'
run --mode fast -- /bin/true
refused "no such mode" 'mode'
run --mem 16 -- /bin/true
refused "too little memory" 'at least --mem [3-9][0-9]'
echo "1..$count"
exit $status
