/* SPDX-License-Identifier: MIT */
/*
 * The first process where scripts/bench-linux boots Linux as `quire boot` boots the reference
 * kernel: it does what that kernel does by itself.
 *
 *     /.quire/argv, /.quire/environment   ──►  the program, whose end is waited for
 *     the debug console's port, 0xe9      ◄──  "ready", "exit STATUS"
 *     the debug exit's port, 0xf4         ◄──  the end of the machine
 */
#include "bare.h"

/* Linux is still at work when its first process starts, which would be measured with the program.
 */
#define SETTLE 2000000000ul

enum { TEXT = 65536, WORDS = 1024, DRAIN = 0x5409, REPORT = 0xe9, END = 0xf4 };

/* Words that each end with a 0, as the archive has them. */
static char **words_of(const char *path)
{
	static char texts[2][TEXT], *words[2][WORDS + 1];
	static unsigned count;
	char *text = texts[count], **list = words[count++];
	long file = call3(__NR_open, path, 0, 0), size = call3(__NR_read, file, text, TEXT);
	size_t found = 0;

	must(file >= 0 && size >= 0 && size < TEXT, path);
	for (long at = 0; at < size; at++)
		if (at == 0 || !text[at - 1]) {
			must(found < WORDS, "too many words");
			list[found++] = text + at;
		}
	call1(__NR_close, file);
	return list;
}

static void out(unsigned short port, char byte)
{
	__asm__ volatile("outb %0, %1" ::"a"(byte), "Nd"(port) : "memory");
}

static void report(const char *text)
{
	while (*text)
		out(REPORT, *text++);
}

static long run(char **program, char **environment)
{
	long child = call0(__NR_fork), ended;
	int status = 0;

	if (child == 0) {
		call3(__NR_execve, program[0], program, environment);
		leave(127);
	}
	must(child > 0, "fork");
	/* Only from here on: the program is to have no ports. */
	must(call1(__NR_iopl, 3) == 0, "iopl");
	report("ready\n");
	do
		ended = call(__NR_wait4, -1, (long)&status, 0, 0, 0, 0);
	while (ended != child);
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

int bare_main(int argc, char **argv)
{
	char text[24];

	(void)argc;
	(void)argv;
	call(__NR_mount, (long)"proc", (long)"/proc", (long)"proc", 0, 0, 0);
	call(__NR_mount, (long)"dev", (long)"/dev", (long)"devtmpfs", 0, 0, 0);
	for (uint64_t start = nanoseconds(); nanoseconds() - start < SETTLE;)
		call0(__NR_sched_yield);
	long status = run(words_of("/.quire/argv"), words_of("/.quire/environment"));
	/* What is still on its way to the console. */
	call3(__NR_ioctl, 1, DRAIN, 1);
	report("exit ");
	report(number_at(text + sizeof(text), (uint64_t)status));
	report("\n");
	out(END, 0);
	return 0;
}
