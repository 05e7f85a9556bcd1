/* SPDX-License-Identifier: MIT */
#include "main.h"

#include "arch/console.h"
#include "arch/panic.h"
#include "arch/setup.h"
#include "fs/fs.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/space.h"
#include "task/task.h"

#define ARGUMENTS "/.quire/argv"
#define ENVIRONMENT "/.quire/environment"
#define MAX_BYTES 131072 /* of either */
#define MAX_STRINGS 4096
#define MAX_RANGES 64
#define STATUS_NO_PROGRAM 127
#define STATUS_INVALID 254

struct options options = { .mode = QUIRE_SPECULATIVE, .speculation = true, .levels = 4 };

bool quire_runs;

static const struct {
	const char *text;
	enum quire_mode mode;
} modes[] = {
	{ "mode=speculative", QUIRE_SPECULATIVE },
	{ "mode=vma-lock", QUIRE_VMA_LOCK },
	{ "mode=classic", QUIRE_CLASSIC },
};

static bool parse_option(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(option, modes[i].text) == 0) {
			options.mode = modes[i].mode;
			return true;
		}
	}
	if (strcmp(option, "speculation=on") == 0 || strcmp(option, "speculation=off") == 0)
		options.speculation = option[13] == 'n';
	else if (strcmp(option, "levels=4") == 0 || strcmp(option, "levels=5") == 0)
		options.levels = (unsigned)(option[7] - '0');
	else if (strcmp(option, "stats") == 0)
		options.stats = true;
	else if (strcmp(option, "validate") == 0)
		options.validate = true;
	else
		return false;
	return true;
}

static void parse_options(const char *text)
{
	char option[32];

	while (*text != '\0') {
		const char *end = text;

		while (*end != '\0' && *end != ' ')
			end++;
		strlcpy(option, text, MIN((size_t)(end - text) + 1, sizeof(option)));
		if (end != text &&
		    ((size_t)(end - text) >= sizeof(option) || !parse_option(option)))
			print("quire: unknown option %s\n", option);
		text = *end != '\0' ? end + 1 : end;
	}
	space_mode = options.mode;
	space_speculation = options.speculation;
}

static void start_quire(unsigned cpus_there)
{
	static struct quire_memory ranges[MAX_RANGES];
	struct quire_x86_config x86 = { .direct_map = DIRECT_MAP,
					.kernel_root = kernel_root,
					.cpus = cpus_there };
	struct quire_config config = { .cpus = cpus_there, .nodes = 1, .memory = ranges };
	int levels, error;

	quire_x86_cpu_init(&cpus[0].port, 0);
	levels = quire_x86_init(&x86);
	if (levels < 0)
		panic("quire_x86_init: error %d", levels);
	if ((unsigned)levels != options.levels)
		print("quire: %d levels of page tables: the CPU has no more\n", levels);
	config.levels = (unsigned)levels;
	config.memory_count = memory_map_rest(ranges, MAX_RANGES);
	error = quire_init(&config);
	if (error != 0)
		panic("quire_init: error %d", error);
	quire_runs = true;
}

/* A file of strings that end with NUL each: the vector of them. They stay for the program's start.
 */
static char **read_strings(const char *path)
{
	char *bytes = heap_zero(MAX_BYTES + 1);
	char **strings = heap_zero((MAX_STRINGS + 1) * sizeof(*strings));
	struct file *file;
	int64_t size;
	unsigned n = 0;

	if (bytes == NULL || strings == NULL)
		panic("no memory for %s", path);
	if (fs_open(path, O_RDONLY, 0, &file) < 0)
		return strings;
	size = file_read_at(file, bytes, MAX_BYTES, 0);
	file_put(file);
	for (char *at = bytes; at < bytes + size && n < MAX_STRINGS; at += strlen(at) + 1)
		strings[n++] = at;
	return strings;
}

/* The first thread: files, then the program. */
static void first_thread(void *unused)
{
	struct piece archive = memory_map_archive();
	char **arguments;

	(void)unused;
	fs_init();
	console_listen();
	if (archive.size != 0 && fs_unpack(physical(archive.base), archive.size) != 0)
		machine_exit(STATUS_NO_PROGRAM);
	arguments = read_strings(ARGUMENTS);
	if (arguments[0] == NULL) {
		print("quire: no program: there is no " ARGUMENTS " in the archive\n");
		machine_exit(STATUS_NO_PROGRAM);
	}
	process_start_first(arguments, read_strings(ENVIRONMENT));
}

_Noreturn void kernel_start(uint64_t start_info)
{
	extern uint8_t boot_stack[];
	static uint8_t stacks[CPU_STACKS] __attribute__((aligned(16)));
	struct acpi_machine machine;

	console_init();
	/* From here on a panic can name its CPU. */
	msr_write(MSR_GS_BASE, (uint64_t)&cpus[0]);
	cpus[0].self = &cpus[0];
	memory_map_init(start_info);
	parse_options(memory_map_options());
	cpu_detect();
	cpu_set_stacks(&cpus[0], stacks);
	tables_build();
	cpu_setup(&cpus[0], 0);
	cpus[0].kernel_stack = (uint64_t)boot_stack + STACK_SIZE;
	acpi_read(memory_map_acpi(), &machine);
	apic_init(&machine);
	smp_init(&machine);
	time_init();
	start_quire(machine.cpus);
	quire_cpu_online();
	sched_init();
	smp_start();
	if (task_create_kernel("start", first_thread, NULL) == NULL)
		panic("no memory for the first thread");
	quire_cpu_offline();
	sched_start();
}

_Noreturn void kernel_secondary(void)
{
	struct cpu *cpu = this_cpu();

	quire_x86_cpu_init(&cpu->port, cpu->index);
	sched_start();
}

static void report_text(void (*print_text)(struct text *out))
{
	struct text text = { 0 };

	print_text(&text);
	report_write(text.bytes, text.length);
	text_free(&text);
}

_Noreturn void machine_finish(int status)
{
	const char *wrong;

	if (options.stats)
		report_text(memory_print_faults);
	if (options.validate) {
		wrong = quire_validate(NULL);
		report("validate %s\n", wrong == NULL ? "ok" : wrong);
		if (wrong != NULL)
			status = STATUS_INVALID;
	}
	machine_exit(status);
}
