#!/bin/bash
# SPDX-License-Identifier: MIT
# test_cuts.sh EXPLORE: cutting short what comes to a known state loses no way in which a scenario can end, and what counts as one
# state is one.
set -u
number=0 bad=0
for scenario in self_spin_lock self_deferred faults_write_write faults_copy_copy unmap_page_first_write move_page_first_write \
	replace_page_copy fork_all_copy lock_page_first_write; do
	ends=() number=$((number + 1))
	for options in "" "--no-cuts"; do
		# shellcheck disable=SC2086 # options are words
		ends+=("$("$1" --bound 2 $options "$scenario" | grep -o '[0-9]* different ends')")
	done
	if [ -n "${ends[0]}" ] && [ "${ends[0]}" = "${ends[1]}" ]; then
		echo "ok $number - $scenario: ${ends[0]}"
	else
		echo "not ok $number - $scenario: ${ends[0]}; without cuts ${ends[1]}"
		bad=1
	fi
done
# And a state is what it is taken for: where one is met again, memory is the same.
for options in "--bound 2" "--bound 1 --memory tso" "--bound 1 --memory out-of-order --delays 2"; do
	for scenario in self_ unmap_page move_page fork_all H29 H40_two_copies H59_fork_3 Q3 grace_ range_; do
		number=$((number + 1))
		# shellcheck disable=SC2086
		if "$1" $options --compare --partial --seconds 5 "$scenario" >/dev/null; then
			echo "ok $number - $scenario $options: one memory for each state"
		else
			echo "not ok $number - $scenario $options"
			bad=1
		fi
	done
done
echo "1..$number"
exit $bad
