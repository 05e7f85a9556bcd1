#!/bin/bash
# SPDX-License-Identifier: MIT
# The figures in the documents are those of docs/figures, and scripts/figures would notice if they were not. All but the first check works
# on a copy of the documents, with one thing wrong at a time.
set -u
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
status=0

complain()
{
	echo "test_figures: $*"
	status=1
}

scripts/figures --check || complain "the documents show other figures than docs/figures: make figures ARGS=--render"

# fresh: the copy as the tree is
fresh()
{
	rm -rf "$dir/tree"
	mkdir -p "$dir/tree/scripts" "$dir/tree/bench"
	cp scripts/figures scripts/figure_*.py "$dir/tree/scripts"
	cp bench/goals.txt "$dir/tree/bench"
	cp -r README.md docs "$dir/tree"
}

# gives STATUS TEXT ARGUMENT...: the copy's script ends with STATUS and says TEXT
gives()
{
	local wanted=$1 text=$2 got=0
	shift 2
	"$dir/tree/scripts/figures" "$@" >"$dir/out" 2>&1 </dev/null || got=$?
	[ "$got" = "$wanted" ] || complain "$what: 'figures $*' gave status $got, not $wanted: $(tail -n 3 "$dir/out")"
	[ -z "$text" ] || grep -qF -- "$text" "$dir/out" || complain "$what: 'figures $*' did not say: $text"
}

# wrong WHAT SED-SCRIPT FILE STATUS TEXT: --check notices what sed does to the copy
wrong()
{
	fresh
	what=$1
	sed -i "$2" "$dir/tree/$3"
	cmp -s "$3" "$dir/tree/$3" && complain "$what: nothing was changed"
	gives "$4" "$5" --check
}

wrong "a figure of a table" '/^<!-- figures: cost-brief/,/^<!-- end -->/s/^| anonymous write fault | [0-9]/&1/' README.md 1 "-| anonymous write fault |"
wrong "a figure of a sentence" 's/\(clear_page -->[0-9]*\)/\11/' docs/performance.md 1 "clear_page -->"
wrong "the data" 's/"clear_page": /&9/' docs/figures/instructions.json 1 'clear_page -->9'
wrong "a goal" 's/at most\t1000$/at most\t1/' bench/goals.txt 1 "at most 1 "
for figure in "It takes 1,234 instructions." "It keeps 93 % of them." "They reach 4.5 M/s." "A fault takes 0.3 us." "It is 3 times as fast."; do
	wrong "a figure without a marker" "\$a\\$figure" README.md 1 "a figure without a marker: "
done
wrong "a table without a marker" '$a\\n| a fault | 1,234 |' README.md 1 "a figure without a marker: 1,234"
wrong "an exemption that nothing needs" '$a<!-- not measured: "77 ns" -->' README.md 1 "exempt, but not there: 77 ns"
wrong "an unknown figure" 's/data.instructions.clear_page/data\/instructions\/no_page/' docs/performance.md 2 "there is no no_page"
wrong "an unknown record" 's/data.instructions.clear_page/instructions\/no-write\/classic/' docs/performance.md 2 "there are 0, not one"
wrong "an unknown block" 's/figures: cost-brief/figures: cost-grief/' README.md 2 "no such block: cost-grief"
wrong "a block without an end" '/^<!-- end -->$/d' README.md 2 "half a marker"
wrong "a marker at the beginning of a line" '$a<!--= data/instructions/clear_page -->517<!--/-->' README.md 2 "a line begins with the marker"
wrong "data that nobody can read" '$a{' docs/figures/guest.json 2 "not readable"
wrong "data of another schema" 's/quire-guest.1/quire-guest\/2/' docs/figures/guest.json 2 "its schema is quire-guest/2"

what="no data"
fresh
rm "$dir/tree/docs/figures/guest.json"
gives 2 "guest.json: not there" --check

what="rendering"
fresh
sed -i 's/^| anonymous write fault | [0-9]/&1/' "$dir/tree/README.md"
gives 0 "README.md: written" --render
cmp -s README.md "$dir/tree/README.md" || complain "$what: the README did not become what it was"
gives 0 "" --render
[ -s "$dir/out" ] && complain "$what: what is right was written again"

what="rendering with an error in the last document"
fresh
sed -i 's/^| anonymous write fault | [0-9]/&1/' "$dir/tree/README.md"
sed -i 's/figures: slower/figures: faster/' "$dir/tree/docs/performance.md"
cp "$dir/tree/README.md" "$dir/before.md"
gives 2 "no such block: faster" --render
cmp -s "$dir/before.md" "$dir/tree/README.md" || complain "$what: the first one was written"

# A build with a bench that prints figures once, and fails from then on.
what="measuring"
fresh
mkdir "$dir/build"
cat >"$dir/build/quire" <<SCRIPT
#!/bin/sh
sed 's/"version": "[^"]*"/"version": "of a test"/' "$PWD/docs/figures/instructions.json"
[ ! -e "$dir/used" ] && touch "$dir/used"
SCRIPT
chmod +x "$dir/build/quire"
export BUILD=$dir/build
gives 0 "1 of 1 steps" instructions
grep -q "Quire of a test" "$dir/tree/docs/performance.md" || complain "$what: the new figures are not in the document"
cp -r "$dir/tree/docs" "$dir/before"
gives 1 "what was there stays" instructions
gives 1 "no such program" retry
diff -r "$dir/before" "$dir/tree/docs" || complain "$what: a step that failed changed something"
gives 2 "no such step: tea" tea
gives 2 "steps are for measuring" --render retry
gives 0 "guest" --list
exit $status
