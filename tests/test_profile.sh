#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: test_profile.sh QUIRE COST
# `quire boot --profile`: what it counts is what the time stamp counter says, under which a tick is an instruction.
set -u
quire=$1 cost=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
rounds=9
count=0 status=0

# check STATUS NAME
check()
{
	count=$((count + 1))
	[ "$1" = 0 ] && result=ok || { result='not ok' status=1; }
	echo "$result $count $2"
	[ "$result" = ok ] || sed 's/^/# /' "$dir/out" "$dir/err" "$dir/table"
}

# profile OPTION... -- PROGRAM ARGUMENT...
profile()
{
	timeout 200 "$quire" boot --timeout 180 --profile "$dir/table" "$@" >"$dir/out" 2>"$dir/err" </dev/null
}

# entered NAME, instructions NAME: of a function in the table
entered()
{
	awk -v name="$1" '$4 == name { print $1 }' "$dir/table"
}

instructions()
{
	awk -v name="$1" '$4 == name { print $2 }' "$dir/table"
}

total()
{
	awk 'NR == 1 { print $2 }' "$dir/table"
}

# row OPERATIONS NAME: the median of what the program measured is within 1 % of what was counted
row()
{
	profile --profile-marked --profile-per $(((rounds + 1) * $1)) -- "$cost" 1000 $rounds "$2" &&
		awk -v counted="$(instructions '[all]')" -F '\t' \
			'END { exit !(NR == 1 && $2 > 0 && counted > $2 * 0.99 && counted < $2 * 1.01) }' "$dir/out"
	check $? "$2: $(instructions '[all]') counted, $(cut -f 2 "$dir/out") ticks"
}

row 500 "null system call"
[ "$(entered entry_system_call)" = 1.00 ]
check $? "each call enters once"
row 20 "fork + exit + wait, small process"
row 1000 "anonymous write fault"
[ "$(entered entry_page_fault)" = 1.00 ] && grep -q "^# .* $((rounds + 1)) regions" "$dir/table"
check $? "each fault enters once"
marked=$(total)

profile --profile-marked --profile-inlined -- "$cost" 1000 $rounds "anonymous write fault" &&
	[ "$(total)" = "$marked" ] && grep -q ' in ' "$dir/table"
check $? "the same with inlined functions"
awk '$1 != "#" { if ($4 == "[all]") all = $2; else sum += $2 } END { exit !(all > 0 && sum == all) }' "$dir/table"
check $? "the lines add up"

profile -- "$cost" 1000 $rounds "anonymous write fault" &&
	[ "$(total)" -gt "$marked" ] && [ "$(instructions '[user]')" -gt 10000 ]
check $? "all that ran is more"
profile --profile-marked -- /bin/true && [ "$(instructions '[all]')" = 0 ] && grep -q ' 0 regions' "$dir/table"
check $? "nothing is marked"

profile --profile-per 0 -- /bin/true
[ $? = 2 ] && grep -q 'profile-per' "$dir/err"
check $? "per nothing"
timeout 100 "$quire" boot --profile "$dir/none/table" -- /bin/true 2>"$dir/err" </dev/null
[ $? = 2 ] && grep -q 'none/table' "$dir/err"
check $? "no place for the table"
echo "1..$count"
exit $status
