# SPDX-License-Identifier: MIT
"""The data in docs/figures/, and how a figure of it is named and written.

    cost/anonymous write fault/quire/speculative        one figure
    antagonists/antagonist-fork/classic/2/latency_ns/p99.9
    data/soft/conditions/cpu                            anything in a file
    cost/fork, a populated page/linux/6.1 : cost/fork, a populated page/quire/speculative
                                                        a ratio; " - " is a difference
    ... as %                                            how it is written: see FORMATS

The first word says which records (RECORDS), the next ones which of them, the rest which of its values.
"""
import json
import pathlib

# The file, the array in it, what tells its records apart, the value meant where none is named.
RECORDS = {
    "cost": ("guest", "cost", ("operation", "system", "mode"), ("instructions",)),
    "latency": ("guest", "latency", ("antagonist", "system", "mode", "cpus"), ("kept",)),
    "guest-loops": ("guest", "loops", ("loop", "system", "mode", "cpus"), ("rate", "median")),
    "instructions": ("instructions", "instructions", ("operation", "mode"), ("instructions",)),
    "loops": ("soft", "results", ("loop", "mode", "cpus"), ("rate", "median")),
    "antagonists": ("antagonists", "results", ("loop", "mode", "cpus"), ("kept",)),
    "retry": ("retry", "results", ("operation", "reason", "per", "policy", "rate"), ("nanoseconds",)),
    "retry-cost": ("retry", "costs", ("operation", "reason", "policy"), ("nanoseconds",)),
    "break-even": ("retry", "break_even", ("operation", "reason"), ("nanoseconds",)),
    "scale": ("scale", "results", ("loop", "mode", "cpus"), ("operations_per_second",)),
    "function": ("profile", "functions", ("name",), ("exclusive",)),
}
# The files, and the part of their schema before the version.
FILES = {
    "soft": "quire-bench",
    "antagonists": "quire-bench",
    "instructions": "quire-bench",
    "guest": "quire-guest",
    "retry": "quire-retry",
    "scale": "quire-scale",
    "profile": "quire-profile",
    "reasons": "quire-reasons",
    "footprints": "quire-footprints",
}
VERSION = "1"


class Wrong(Exception):
    """What is wrong with the data, or with what a document asks of it."""


def significant(value):
    """At least three digits, and none that says nothing."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2}f}"


def scaled(value):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{significant(value / size)} {unit}"
    return significant(value)


FORMATS = {
    "": lambda value: value if isinstance(value, str) else f"{value:,.0f}",
    "digits": significant,
    "%": lambda value: f"{100 * value:.0f} %",
    ".1%": lambda value: f"{100 * value:.1f} %",
    "less %": lambda value: f"{100 * (1 - value):.0f} %",
    ".1": lambda value: f"{value:,.1f}",
    ".2": lambda value: f"{value:,.2f}",
    "/s": lambda value: scaled(value) + "/s",
    "us": lambda value: significant(value / 1e3),
    "ms": lambda value: significant(value / 1e6),
}


class Data:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.files = {}

    def file(self, name):
        if name not in FILES:
            raise Wrong(f"there is no {name}.json; there are {', '.join(FILES)}")
        if name not in self.files:
            self.files[name] = self.read(name)
        return self.files[name]

    def read(self, name):
        path = self.directory / f"{name}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            schema = content["schema"]
        except FileNotFoundError:
            raise Wrong(f"{path}: not there; `scripts/figures` measures it") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Wrong(f"{path}: not readable as figures: {error}") from None
        if schema != f"{FILES[name]}/{VERSION}":
            raise Wrong(f"{path}: its schema is {schema}, not {FILES[name]}/{VERSION}")
        return content

    def records(self, kind):
        file, array, _, _ = RECORDS[kind]
        return self.file(file).get(array, [])

    def value(self, path):
        words = path.strip().split("/")
        if words[0] == "data":
            value = walk(self.file(words[1] if len(words) > 1 else ""), words[2:], path)
        elif words[0] in RECORDS:
            value = walk(self.record(words, path), words[1 + len(RECORDS[words[0]][2]):] or RECORDS[words[0]][3], path)
        else:
            raise Wrong(f"{path}: no figures are called {words[0]}; there are data, {', '.join(RECORDS)}")
        if value is None:
            raise Wrong(f"{path}: was not measured")
        return value

    def record(self, words, path):
        fields = RECORDS[words[0]][2]
        wanted = words[1:1 + len(fields)]
        if len(wanted) < len(fields):
            raise Wrong(f"{path}: {words[0]} is followed by {', '.join(fields)}")
        found = [record for record in self.records(words[0]) if [word(record.get(field)) for field in fields] == wanted]
        if len(found) != 1:
            raise Wrong(f"{path}: there are {len(found)}, not one")
        return found[0]

    def figure(self, expression):
        for sign, operate in ((" : ", lambda a, b: a / b), (" - ", lambda a, b: a - b)):
            left, found, right = expression.partition(sign)
            if found:
                try:
                    return operate(self.value(left), self.value(right))
                except (TypeError, ZeroDivisionError) as error:
                    raise Wrong(f"{expression}: {error}") from None
        return self.value(expression)

    def text(self, expression):
        """What a document shows for an expression, its format included."""
        what, _, how = expression.partition(" as ")
        if how not in FORMATS:
            raise Wrong(f"{expression}: no such format; there are {', '.join(filter(None, FORMATS))}")
        try:
            return FORMATS[how](self.figure(what))
        except (TypeError, ValueError) as error:
            raise Wrong(f"{expression}: {error}") from None


def word(value):
    """As it is written in a path: 2 and not 2.0."""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def walk(value, words, path):
    for name in words:
        if not isinstance(value, dict) or name not in value:
            raise Wrong(f"{path}: there is no {name}")
        value = value[name]
    return value
