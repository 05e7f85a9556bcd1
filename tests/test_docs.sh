#!/bin/bash
# SPDX-License-Identifier: MIT
# The documents: README.md shows examples/threads.c as it is; links lead somewhere; files, test cases and targets of make that
# are named exist; all 78 hazards are there; every public function has a man page that mandoc, where there is one, accepts.
set -u
cd "$(dirname "$0")/.."
status=0

complain()
{
	echo "$@"
	status=1
}

# The first line of the file, the licence, is left out in the README.
diff <(sed 1d examples/threads.c) \
	<(awk '/^```c threads.c$/ { on = 1; next } /^```/ { on = 0 } on' README.md) ||
	complain "README.md and examples/threads.c differ"

# What GitHub makes of a heading.
anchors()
{
	sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

documents=(*.md docs/*.md)
for document in "${documents[@]}"; do
	while read -r link; do
		file=${link%%#*} anchor=
		[[ $link == *#* ]] && anchor=${link#*#}
		target=$document
		[ -z "$file" ] || target=$(dirname "$document")/$file
		[ -e "$target" ] || { complain "$document: $link: no such file"; continue; }
		[ -z "$anchor" ] || anchors "$target" | grep -qxF "$anchor" || complain "$document: $link: no such heading"
	done < <(sed '/^```/,/^```/d' "$document" | grep -oP '\]\(\K[^)]+' | grep -v '^https\?:')
	while read -r file; do
		[ -e "$file" ] || complain "$document: $file: no such file"
	done < <(grep -oP '`\K(src|ports|include|tools|tests|examples|bench|scripts|docs)/[A-Za-z0-9_./-]*(?=`)' "$document")
	while read -r target; do
		grep -q "^$target:\|^CHECKED.*\b$target\b" Makefile || complain "$document: make $target: no such target"
	done < <(grep -oP '(`|^    )make \K[a-z]+' "$document")
done

# `program: case` is a case of tests/test_program.c.
while IFS=: read -r program case; do
	grep -qs "^static void ${case# }(void \*\*" "tests/test_$program.c" || complain "no such test: $program:$case"
done < <(grep -ohP '`\K[a-z_]+: [a-z_]+(?=`)' docs/hazards.md docs/races.md)

# Scenarios, with a * for all whose names begin so; and each that is named after a hazard is in its row.
scenarios=$(sed -n 's/^SCENARIO(\([A-Za-z0-9_]*\),.*/\1/p; s/^\t*[A-Z]*(\([HQ][0-9]\+_[a-z0-9_]*\),.*/\1/p' tests/explore/*.c)
# tests/explore/faults.c makes five for each writer.
scenarios+=$(sed -n 's/^AGAINST(\([a-z_]*\),.*/\1/p' tests/explore/faults.c |
	sed 's/.*/\n&_first_write\n&_warm_write\n&_copy\n&_same_leaf\n&_same_vma/')
for name in $(grep -ohP '`\K[HQ][0-9]+_[A-Za-z0-9_]*\*?(?=`)' docs/*.md | sort -u); do
	grep -q "^${name/\*/.*}\$" <<<"$scenarios" || complain "no such scenario: $name"
done
for hazard in $(grep -oP '^[HQ][0-9]+(?=_)' <<<"$scenarios" | sort -u); do
	grep -q "^| $hazard |.*\`[HQ0-9_]*${hazard}_" docs/hazards.md || complain "docs/hazards.md: $hazard has scenarios that its row does not name"
done

# The last column of a hazard: a program alone is one of tests/, or a scenario.
for program in $(sed -n 's/^| [HQ][0-9].*|\(.*\)|$/\1/p' docs/hazards.md | grep -oP '`\K[a-z_]+(?=`)' | sort -u); do
	[ -e "tests/test_$program.c" ] || [ -e "tests/$program.c" ] || grep -qx "$program" <<<"$scenarios" ||
		complain "docs/hazards.md: no such test: $program"
done

hazards=$(grep -oE '^\| [HQ][0-9]+ ' docs/hazards.md | tr -d '| ')
[ "$hazards" = "$(printf 'H%d\n' {1..63}; printf 'Q%d\n' {1..15})" ] || complain "docs/hazards.md: a hazard is missing"

functions=$(grep -hoE '\bquire_[a-z0-9_]+\(' include/quire/*.h | tr -d '(' | grep -v _slow$ | sort -u)
for function in $functions; do
	grep -qE "^\.Nm $function( ,)?$" docs/man/*.3 || complain "$function: no man page"
done
for page in $(grep -hoP '^\.Nm \Kquire_\w+' docs/man/*.3 | sort -u); do
	grep -qx "$page" <<<"$functions" || complain "$page: a man page, but no such function"
done
for page in docs/man/*.[13]; do
	grep -q "'$(basename "$page")'" docs/man/meson.build || complain "$page is not installed"
	! command -v mandoc >/dev/null || mandoc -T lint -W error "$page" || complain "$page: see above"
done
exit $status
