#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: test_guest.sh QUIRE PROGRAMS cpus N PROGRAM... | nomem | stress CPUS SECONDS | fuzz SECONDS
# The programs of tests/guest on the reference kernel. At the end of each run the kernel's own structures are checked.
set -u
quire=$1 programs=$2 what=$3
shift 3
seed=${SEED:-$RANDOM}

# boot OPTION... -- PROGRAM ARGUMENT...
boot()
{
	"$quire" boot --validate --timeout "${PATIENCE:-280}" "$@" </dev/null
}

# Files of programs, each at the root of the guest.
files=()
pack()
{
	for name in "$@"; do
		files+=(--file "$programs/$name-guest:/$name")
	done
}

case $what in
cpus)
	cpus=$1
	shift
	pack "$@"
	boot --cpus "$cpus" --mem 512 "${files[@]}" -- "$programs/run-guest" "${@/#//}"
	;;
nomem)
	boot --cpus 2 --mem 96 -- "$programs/nomem-guest"
	;;
stress)
	boot --cpus "$1" --mem 1024 -- "$programs/stress-guest" --seconds "$2" --seed "$seed"
	;;
fuzz)
	boot --cpus 2 --mem 512 -- "$programs/fuzz-guest" --seconds "$1" --seed "$seed"
	;;
*)
	echo "test_guest.sh: $what?" >&2
	exit 2
	;;
esac
