/* SPDX-License-Identifier: MIT */
/* quire boot: a script does the work. It is beside the command in a build, in ../libexec/quire when
 * installed. */
#include "commands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

int boot_main(int argc, char **argv)
{
	static const char *const places[] = { "quire-boot", "../libexec/quire/boot" };
	char path[PATH_MAX + 32];
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
	char *name;

	(void)argc;
	if (length < 0) {
		perror("quire boot: /proc/self/exe");
		return EXIT_USAGE;
	}
	path[length] = '\0';
	name = strrchr(path, '/') + 1;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		strcpy(name, places[i]);
		execv(path, argv);
		if (errno != ENOENT)
			break;
	}
	fprintf(stderr, "quire boot: %s: %s\n", path, strerror(errno));
	return EXIT_USAGE;
}
