# SPDX-License-Identifier: MIT
"""The places of documents that show figures, and those that must not.

    <!-- figures: NAME ARGUMENTS -->     a block: what is between is made by the function NAME of figure_tables.py
    <!-- end -->
    <!--= EXPRESSION -->875<!--/-->      one figure in a sentence; figure_data.py says what an expression is
    <!-- not measured: "2 MiB", "8 %" -->   what looks like a figure and is none: everywhere in this document

A line must not begin with a marker of a single figure: what follows it would not be taken as Markdown.
"""
import re

import figure_tables
from figure_data import Wrong

BLOCK = re.compile(r"^<!-- figures: (?P<what>.+?) -->\n(?P<old>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
SINGLE = re.compile(r"<!--= (?P<what>[^\n]+?) -->(?P<old>[^\n]*?)<!--/-->")
# What can only be part of one of the above.
PIECE = re.compile(r"<!-- figures: .*|<!-- end -->|<!--=.*|<!--/-->.*")
CODE = re.compile(r"^```.*?^```$|^(?: {4}|\t)[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile("\0([0-9]+)\0")
EXEMPT = re.compile(r"<!-- not measured: (?P<list>.*?) -->", re.DOTALL)

NUMBER = r"(?<![\w.-])\d[\d,.]*\d|(?<![\w.-])\d"
UNIT = (r"(?:(?:[kMG]|thousand|million|billion)\s+)?"
        r"(?:instructions?|cycles|nanoseconds?|microseconds?|milliseconds?|seconds?|ns|us|µs|ms|s|%|per\s?cent|[kMG]?/s|[kMG]|"
        r"(?:faults|calls|pages|operations|iterations|touches)\s+(?:a|per)\s+second|times|fold)(?!\w)")
FIGURE = re.compile(rf"(?:{NUMBER})\s*{UNIT}")
CELL = re.compile(rf"(?<=\|)\s*(?:{NUMBER})\s*(?:{UNIT})?\s*(?=\|)")


def hide_code(text):
    """The text with a number for each piece of code, and the pieces: what they show is no marker and no figure."""
    pieces = []

    def hide(match):
        pieces.append(match[0])
        return f"\0{len(pieces) - 1}\0"

    return CODE.sub(hide, text), pieces


def refuse_halves(text):
    """What looks like a marker must be a whole one, at a place where it is one."""
    for piece in PIECE.findall(SINGLE.sub("", BLOCK.sub("", text))):
        raise Wrong(f"half a marker: {piece[:60]}")
    for line in text.splitlines():
        if line.lstrip().startswith("<!--="):
            raise Wrong(f"a line begins with the marker of a figure: {line[:60]}")


def fill(text, data):
    """The document with the figures that the data have."""
    def block(match):
        maker, _, arguments = match["what"].partition(" ")
        return f"<!-- figures: {match['what']} -->\n\n{figure_tables.make(data, maker, arguments)}\n\n<!-- end -->"

    def single(match):
        return f"<!--= {match['what']} -->{data.text(match['what'])}<!--/-->"

    text, code = hide_code(text)
    refuse_halves(text)
    return HIDDEN.sub(lambda match: code[int(match[1])], SINGLE.sub(single, BLOCK.sub(block, text)))


def unmarked(text):
    """What looks like a measured figure and stands outside all markers: a list of complaints."""
    prose = SINGLE.sub("§", BLOCK.sub("", hide_code(text)[0]))
    exempt = [phrase for match in EXEMPT.finditer(prose) for phrase in re.findall(r'"([^"]*)"', match["list"])]
    prose = re.sub(r"<!--.*?-->|\]\([^)]*\)", "", prose, flags=re.DOTALL)
    complaints = []
    for phrase in exempt:
        if phrase not in prose:
            complaints.append(f"exempt, but not there: {phrase}")
        prose = prose.replace(phrase, "§")
    found = FIGURE.findall(prose) + [cell.strip() for cell in CELL.findall(prose)]
    return complaints + [f"a figure without a marker: {' '.join(figure.split())}" for figure in found]
