# SPDX-License-Identifier: MIT
"""The tables of the documents: make(data, NAME, ARGUMENTS) is what stands in a block `<!-- figures: NAME ARGUMENTS -->`."""
import pathlib

from figure_data import FORMATS, Wrong, scaled, significant

GOALS = pathlib.Path(__file__).resolve().parent.parent / "bench" / "goals.txt"
MODES = ("speculative", "vma-lock", "classic")
# What is slower by less than this is not called slower: medians of one run differ by as much.
NOISE = 0.05
# Functions with fewer instructions than this are not named in a profile.
SMALL = 5
# An antagonist that does the same in a space of its own.
APART = "-apart"

ANTAGONISTS = {
    "antagonist-spin": "only spins",
    "antagonist-mmap": "maps and unmaps a page elsewhere",
    "antagonist-mmap-128m": "maps and unmaps 128 MiB elsewhere",
    "antagonist-mprotect-vma": "mprotects a page **of the same VMA**, other leaf",
    "antagonist-mprotect-leaf": "the same, in the same leaf",
    "antagonist-flush": "writes and gives back a page elsewhere",
    "antagonist-dontneed": "`MADV_DONTNEED` of 2 MiB, same VMA",
    "antagonist-munmap": "populates and unmaps 1 GiB elsewhere",
    "antagonist-fork": "forks with 1 GiB populated",
}


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(share):
    return f"{100 * share:.0f} %"


def code(mode):
    return f"`{mode}`" if mode in MODES else mode


def present(records, field, order=()):
    """The values of a field, as they come, but those of `order` first."""
    found = list(dict.fromkeys(record[field] for record in records))
    return [value for value in order if value in found] + [value for value in found if value not in order]


def index(records, *fields):
    return {tuple(record[field] for field in fields): record for record in records}


def conditions(data, file):
    """How a file was measured, in one sentence."""
    where = data.file(file)["conditions"]
    timed = data.file(file).get("results") and "repeat" in where and "seconds" in where
    seconds = f"; {where['repeat']} runs of {where['seconds']:g} s" if timed else ""
    quick = "; a short trial run, not a measurement" if where.get("quick") else ""
    guest = f", under QEMU {where['qemu']}, beside {', '.join(where['linux'].values())}" if "qemu" in where else ""
    line = f"`{where['command']}`: " if "command" in where else ""
    return (f"{line}Quire {where['version']}, {where['compiler']}, {where['cpu']} with {where['cores']} cores, {where['kernel']}{guest}, "
            f"{where['date'][:10]}, load {where['load']:.1f}{seconds}{quick}.")


def system_mode(record):
    return record["mode"] if record["system"] == "quire" else f"Linux {record['mode']}"


def by_system(records, *fields):
    """An index of the guest's records by `fields` and the column, and the columns: Quire's modes, then Linux."""
    rows = {tuple(record[field] for field in fields) + (system_mode(record),): record for record in records}
    columns = list(dict.fromkeys(key[-1] for key in rows))
    return rows, [mode for mode in MODES if mode in columns] + sorted(set(columns) - set(MODES))


def number(record, key="instructions"):
    value = record and record.get(key)
    return "–" if value is None else f"{value:,.0f}"


def ratio(rows, name, column):
    mine, other = (rows.get((name, mode), {}).get("instructions") for mode in (MODES[0], column))
    return f"{mine / other:.2f}" if mine is not None and other else "–"


def cost_brief(data, chosen):
    """Instructions in the guest: some operations, in Quire's default mode and on Linux."""
    rows, columns = by_system(data.records("cost"), "operation")
    columns = [column for column in columns if column not in MODES[1:]]
    lines = []
    for name in (part.strip() for part in chosen.split(";")):
        if (name, MODES[0]) not in rows:
            raise Wrong(f"cost-brief: no such operation: {name}")
        lines.append([name, *(number(rows.get((name, column))) for column in columns),
                      *(ratio(rows, name, column) for column in columns[1:])])
    return table(["operation", "Quire", *columns[1:], *(f"Quire : {column}" for column in columns[1:])], lines)


def cost(data, _):
    """Instructions in the guest: every operation, and its goal."""
    records = data.records("cost")
    rows, columns = by_system(records, "operation")
    linux = [column for column in columns if column not in MODES]
    goal_of = {goal[2]: goal for goal in read_goals("cost")}
    lines = []
    for name in present(records, "operation"):
        goal = goal_of.get(f"cost/{name}/quire/{MODES[0]}")
        met, row = judge(data, goal) if goal else (True, ["", "–"])
        lines.append([name, *(number(rows.get((name, column))) for column in columns),
                      *(ratio(rows, name, column) for column in linux), row[1] if met else f"**{row[1]}**"])
    return table(["operation", *map(code, columns), *(f"Quire : {column}" for column in linux), "goal"], lines)


def instructions(data, _):
    records = data.records("instructions")
    rows, modes = index(records, "operation", "mode"), present(records, "mode", MODES)
    software = any(record.get("software") is not None for record in records)
    lines = []
    for name in present(records, "operation"):
        line = [number(rows.get((name, mode))) for mode in modes]
        if software:
            line.append(number(rows.get((name, MODES[0])), "software"))
        lines.append([f"`{name}`", *line])
    return table(["operation", *map(code, modes), *([f"{code(MODES[0])}: software part"] if software else [])], lines)


def rate(record):
    """A median, and how far the runs were apart."""
    if record is None:
        return "–"
    found = record["rate"]
    spread = (found["max"] - found["min"]) / found["median"] / 2 if found["median"] else 0
    return f"{scaled(found['median'])} ±{100 * spread:.0f} %"


def loops(data, cpus):
    """Operations a second of every loop on the soft port, with so many CPUs."""
    records = [record for record in data.records("loops") if record["cpus"] == int(cpus)]
    rows, modes = index(records, "loop", "mode"), present(records, "mode", MODES)
    lines = [[f"`{loop}`", *(rate(rows.get((loop, mode))) for mode in modes)] for loop in present(records, "loop")]
    return table(["loop", *map(code, modes)], lines)


def guest_loops(data, cpus):
    records = [record for record in data.records("guest-loops") if record["cpus"] == int(cpus)]
    rows, columns = by_system(records, "loop")
    lines = [[f"`{loop}`", *(rate(rows.get((loop, column))) for column in columns)] for loop in present(records, "loop")]
    return table(["loop", *map(code, columns)], lines)


def quantiles(latency, names):
    """In microseconds; the last, which is the maximum, in milliseconds."""
    short = [significant(latency[name] / 1e3) if name in latency else "–" for name in names]
    return ", ".join(short) + f", {significant(latency['max'] / 1e6)} ms"


def antagonists(data, cpus):
    records = [record for record in data.records("antagonists")
               if record["cpus"] == int(cpus) and not record["loop"].endswith(APART)]
    rows, modes = index(records, "loop", "mode"), present(records, "mode", MODES)

    def cell(loop, mode):
        record = rows.get((loop, mode))
        if record is None:
            return "–"
        first = scaled(record["rate"]["median"]) + "/s" if loop == "antagonist-spin" else percent(record["kept"])
        return f"{first}; {quantiles(record['latency_ns'], ('p50', 'p99.9', 'p99.99'))}"

    lines = [[ANTAGONISTS.get(loop, loop), *(cell(loop, mode) for mode in modes)] for loop in present(records, "loop")]
    return table(["the other thread", *map(code, modes)], lines)


def antagonist_loss(data, cpus):
    """What of the loss is not Quire's: the same antagonist in a space of its own, and the shootdowns that are answered."""
    rows = index((record for record in data.records("antagonists")
                  if record["cpus"] == int(cpus) and record["mode"] == MODES[0]), "loop")
    lines = []
    for loop, name in ANTAGONISTS.items():
        record, twin = rows.get((loop,)), rows.get((loop + APART,))
        if record and twin:
            answers = record["answers"]
            lines.append([name, percent(record["kept"]), percent(twin["kept"]), percent(record["kept_apart"]),
                          scaled(answers["rate"]), f"{100 * answers['share']:.1f} %"])
    return table(["the other thread", "kept", "kept beside its twin", "kept of that", "shootdowns answered a second",
                  "time in them"], lines)


def guest_antagonists(data, cpus):
    records = [record for record in data.records("latency") if record["cpus"] == int(cpus)]
    rows, columns = by_system(records, "antagonist")

    def cell(name, column):
        record = rows.get((name, column))
        if record is None:
            return "–"
        first = scaled(record["faults_per_second"]) + "/s" if name == "spins" else percent(record["kept"])
        return f"{first}; {quantiles(record, ('p50', 'p99_9', 'p99_99'))}"

    lines = [[name, *(cell(name, column) for column in columns)] for name in present(records, "antagonist")]
    return table(["the other thread", *map(code, columns)], lines)


def costs(record):
    """Time and instructions, where they were counted."""
    if not record or record["nanoseconds"] is None:
        return "–"
    counted = record.get("instructions")
    return f"{significant(record['nanoseconds'])} ns" + ("" if counted is None else f", {counted:,.0f}")


def retry(data, arguments):
    """What a fault costs when so many of a hundred fail once: a row for each policy."""
    operation, _, reason = arguments.partition(" ")
    records = [record for record in data.records("retry")
               if (record["operation"], record["reason"], record["per"]) == (operation, reason, "fault")]
    if not records:
        raise Wrong(f"retry: there is no {arguments}")
    rows, rates = index(records, "policy", "rate"), sorted(present(records, "rate"))
    return table(["policy", *(f"{100 * rate:g} %" for rate in rates)],
                 [[policy, *(costs(rows.get((policy, rate))) for rate in rates)] for policy in present(records, "policy")])


def retry_costs(data, _):
    """What one failure more adds to the cost of a fault, by policy."""
    records = data.records("retry-cost")
    rows, policies = index(records, "operation", "reason", "policy"), present(records, "policy")
    names = dict.fromkeys((record["operation"], record["reason"]) for record in records)
    return table(["fault", "reason", *policies],
                 [[f"`{operation}`", f"`{reason}`", *(costs(rows.get((operation, reason, policy))) for policy in policies)]
                  for operation, reason in names])


def of_a_million(counts, faults):
    return ", ".join(f"`{name}` {significant(1e6 * count / faults)}" for name, count in counts.items() if count) or "–"


def reasons(data, _):
    """Why faults began again or went to the classic path, nothing being forced: where any did."""
    lines = []
    for record in data.file("reasons")["results"]:
        told = [of_a_million(record[kind], record["faults"]) for kind in ("retries", "classic")]
        if told != ["–", "–"]:
            lines.append([f"`{record['workload']}`", record["source"], scaled(record["faults"]), *told])
    return table(["workload", "run by", "faults", "began again, of a million", "classic path, of a million"], lines)


def scale(data, loop):
    """Operations a second of a loop by the model, with the range from far to near."""
    records = [record for record in data.records("scale") if record["loop"] == loop]
    if not records:
        raise Wrong(f"scale: no such loop: {loop}")
    rows, modes = index(records, "cpus", "mode"), present(records, "mode", MODES)

    def cell(record):
        if not record:
            return "–"
        return f"{scaled(record['operations_per_second'])} ({scaled(record['far'])} to {scaled(record['near'])})"

    return table(["CPUs", *map(code, modes)],
                 [[str(cpus), *(cell(rows.get((cpus, mode))) for mode in modes)] for cpus in sorted(present(records, "cpus"))])


def scale_validation(data, _):
    """The model beside what was measured where there are real cores: the median and the greatest run."""
    keys = "operations_per_second", "measured", "greatest"
    lines = [[f"`{record['loop']}`", str(record["cpus"]), code(record["mode"]), *(scaled(record[key]) for key in keys),
              f"{record['ratio']:.2f}", f"{record['ratio_to_greatest']:.2f}"] for record in data.file("scale")["validation"]]
    return table(["loop", "CPUs", "mode", "model", "measured", "greatest", "model : measured", "model : greatest"], lines)


def profile_functions(data, _):
    """By what is the function's own; the small ones in one line."""
    records = sorted(data.file("profile")["functions"], key=lambda record: -record["exclusive"])
    large = [record for record in records if record["exclusive"] >= SMALL]
    rest = records[len(large):]
    lines = [[f"`{record['name']}`", f"{record['exclusive']:,.1f}", f"{record['inclusive']:,.1f}"] for record in large]
    if rest:
        lines.append([f"{len(rest)} others", f"{sum(record['exclusive'] for record in rest):,.1f}", ""])
    return table(["function", "its own instructions", "with what it calls"], lines)


def profile_lines(data, _):
    keys = "lines", "reads", "writes", "atomics"
    lines = [[record["what"], *(f"{record[key]:g}" for key in keys)] for record in data.file("profile")["lines"]]
    return table(["of what", *keys], lines)


def read_goals(section=None):
    """Of bench/goals.txt, all or one section: where it is measured, what, the figure, how it is written, at least or at most, the goal."""
    found, here, where = [], None, ""
    for line in GOALS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            here, _, where = line[1:].partition("] ")
        elif line and line[0] != "#" and section in (None, here):
            found.append([where, *line.split("\t")])
    if not found:
        raise Wrong(f"goals: no such section: {section}")
    return found


def judge(data, goal):
    """Whether it is met; and a row: what, what was wanted, what was measured."""
    _, what, expression, form, relation, bound = goal
    value, bound = data.figure(expression), float(bound)
    met = value <= bound if relation == "at most" else value >= bound
    return met, [what, f"{relation} {FORMATS[form](bound)}", FORMATS[form](value)]


def goals(data, section):
    rows = [judge(data, goal) for goal in read_goals(section)]
    return table(["", "goal", "measured", ""], [[*row, "met" if met else "**missed**"] for met, row in rows])


def missed(data, _):
    """The goals that are not met; all sections."""
    judged = [(goal[0], *judge(data, goal)) for goal in read_goals()]
    rows = [[where, *row] for where, met, row in judged if not met]
    return table(["", "", "goal", "measured"], rows) if rows else "None: every goal is met."


def slower(data, _):
    """Loops in which a baseline is faster than `speculative` by its median, the worst first."""
    records = [record for record in data.records("loops") + data.records("antagonists")
               if record["mode"] in MODES and not record["loop"].endswith(APART)]
    rows = index(records, "loop", "cpus", "mode")
    found = []
    for loop, cpus in dict.fromkeys(key[:2] for key in rows):
        mine, *others = [rows.get((loop, cpus, mode)) for mode in MODES]
        best = max((other for other in others if other), key=lambda other: other["rate"]["median"], default=None)
        if not mine or not best or mine["rate"]["median"] >= (1 - NOISE) * best["rate"]["median"]:
            continue
        share = mine["rate"]["median"] / best["rate"]["median"]
        found.append((share, [f"`{loop}`", str(cpus), *map(rate, (mine, *others)), f"{share:.2f}"]))
    lines = [line for _, line in sorted(found)]
    return table(["loop", "CPUs", *map(code, MODES), "of the fastest"], lines) if lines else "In no loop."


MAKERS = {
    "antagonist-loss": antagonist_loss,
    "antagonists": antagonists,
    "conditions": conditions,
    "cost": cost,
    "cost-brief": cost_brief,
    "goals": goals,
    "guest-antagonists": guest_antagonists,
    "guest-loops": guest_loops,
    "instructions": instructions,
    "loops": loops,
    "missed": missed,
    "profile-functions": profile_functions,
    "profile-lines": profile_lines,
    "reasons": reasons,
    "retry": retry,
    "retry-costs": retry_costs,
    "scale": scale,
    "scale-validation": scale_validation,
    "slower": slower,
}


def make(data, name, arguments):
    if name not in MAKERS:
        raise Wrong(f"no such block: {name}; there are {', '.join(MAKERS)}")
    try:
        return MAKERS[name](data, arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"block {name} {arguments}: the data lacks or has wrong {error}") from None
