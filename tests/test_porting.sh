#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/porting.md shows a whole port. Take it out of the document, see that it is the one in examples/port_mini, build
# it with the core and nothing else, and run it.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# A block that begins with ```c NAME is the file NAME.
awk -v out="$out" '
	/^```c [a-z_.]+$/ { file = out "/" $2; next }
	/^```/ { file = ""; next }
	file { print > file }' docs/porting.md

status=0
for file in port_atomic.h quire_port.h mini.h port.c main.c; do
	if ! cmp -s "$out/$file" "examples/port_mini/$file"; then
		echo "docs/porting.md and examples/port_mini/$file differ"
		status=1
	fi
done
"${CC:-cc}" -std=c11 -O1 -Wall -Wextra -Werror -I"$out" -Iinclude -Isrc \
	$(find src -name '*.c') "$out"/*.c -o "$out/mini"
"$out/mini" || status=1
exit $status
