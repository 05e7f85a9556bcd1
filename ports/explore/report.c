/* SPDX-License-Identifier: MIT */
/* A schedule as text: one line for each access to shared memory, and the switches between them. */
#include "inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern const char __executable_start; /* by the linker */

/* Inlined functions too, the innermost first: "spin_trylock < table_lock < lock_leaf (file:line)".
 */
const char *report_place(const void *pc, char *buffer, size_t size)
{
	char command[512], self_path[256], function[128], line[256];
	ssize_t length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	uintptr_t offset = (uintptr_t)pc - (uintptr_t)&__executable_start - 1;
	FILE *pipe = NULL;

	snprintf(buffer, size, "%p", pc);
	if (length < 0)
		return buffer;
	self_path[length] = 0;
	snprintf(command, sizeof(command), "addr2line -i -f -s -e '%s' %#lx 2>/dev/null", self_path,
		 (unsigned long)offset);
	pipe = popen(command, "r");
	if (pipe == NULL)
		return buffer;
	*buffer = 0;
	while (fgets(function, sizeof(function), pipe) && fgets(line, sizeof(line), pipe)) {
		size_t used = strlen(buffer);

		function[strcspn(function, "\n")] = 0;
		line[strcspn(line, " \n")] = 0;
		snprintf(buffer + used, size - used, "%s%s (%s)", used ? " < " : "", function,
			 line);
	}
	pclose(pipe);
	return buffer;
}

void report_note(const char *format, ...)
{
	va_list arguments;

	if (!options.print)
		return;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

void report_switch(const char *why, unsigned to)
{
	if (options.print)
		printf("---- CPU %u %s; CPU %u goes on\n", self, why, to);
}

void report_access(const char *operation, const volatile void *p, uint64_t value,
		   const struct explore_site *site, const void *pc, bool shared)
{
	char place[512];
	const char *file = strrchr(site->file, '/');

	if (!shared && strcmp(site->what, GUEST_ACCESS) != 0)
		return;
	printf("%*sCPU %u  %5u  %-22s %-28s", (int)(4 * self), "", self, vcpus[self].step,
	       operation, site->what);
	if (p)
		printf(" %#llx", (unsigned long long)value);
	printf("  [%s]\n", pc ? report_place(pc, place, sizeof(place)) : file ? file + 1 : "");
}
