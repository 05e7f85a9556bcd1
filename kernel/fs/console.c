/* SPDX-License-Identifier: MIT */
/*
 * The console as a file: /dev/console, /dev/tty. Output goes out as it is, but that a line feed
 * always becomes CR LF. There is one session; the foreground group is that of who opened first,
 * until it is set. Nobody is stopped for being in the background.
 */
#include "arch/console.h"

#include "fs/special.h"
#include "fs/terminal.h"
#include "lib/string.h"
#include "memory/user.h"
#include "task/task.h"

#define TCGETS 0x5401u
#define TCSETS 0x5402u
#define TCSETSW 0x5403u
#define TCSETSF 0x5404u
#define TCSBRK 0x5409u
#define TCFLSH 0x540bu
#define TIOCSCTTY 0x540eu
#define TIOCGPGRP 0x540fu
#define TIOCSPGRP 0x5410u
#define TIOCGWINSZ 0x5413u
#define TIOCSWINSZ 0x5414u
#define FIONREAD 0x541bu
#define TIOCGSID 0x5429u

#define PIECE 512u /* bytes written at a time: with interrupts disabled */

/* Without lines VMIN 0 does not wait for more than VTIME (tenths of a second). */
static uint64_t read_deadline(void)
{
	uint64_t deadline = NEVER;

	lock_take(&terminal.lock);
	if (!(terminal.termios.local & ICANON) && terminal.termios.characters[VMIN] == 0)
		deadline = time_now() + terminal.termios.characters[VTIME] * 100000000ull;
	lock_drop(&terminal.lock);
	return deadline;
}

static int64_t console_file_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	uint64_t deadline = read_deadline();

	(void)position;
	while (size) {
		int64_t result = terminal_read(buffer, size);

		if (result != -EAGAIN || file->flags & O_NONBLOCK)
			return result;
		result = wait_until(&terminal_readers, SLEEP_INTERRUPTIBLY, deadline,
				    terminal_can_read());
		if (result)
			return result == -ETIMEDOUT ? 0 : -ERESTART;
	}
	return 0;
}

static int64_t console_file_write(struct file *file, const void *buffer, size_t size,
				  uint64_t *position)
{
	const char *bytes = buffer;

	(void)file, (void)position;
	for (size_t done = 0; done < size; done += PIECE)
		console_write(bytes + done, MIN(size - done, PIECE));
	return (int64_t)size;
}

static unsigned console_file_poll(struct file *file)
{
	(void)file;
	return terminal_can_read() ? POLLIN_NORMAL | POLLOUT_NORMAL : POLLOUT_NORMAL;
}

static struct wait_queue *console_file_queue(struct file *file)
{
	(void)file;
	return &terminal_readers;
}

/* The process's group comes to the foreground, its session becomes the terminal's. */
static void adopt(const struct process *process, bool taken_too)
{
	lock_take(&terminal.lock);
	if (!terminal.group || taken_too) {
		terminal.group = process->group;
		terminal.session = process->session;
	}
	lock_drop(&terminal.lock);
}

static int console_file_open(struct file *file)
{
	struct process *process = current_process();

	(void)file;
	if (process)
		adopt(process, false);
	return 0;
}

/* Copies between the program and something small that `lock` guards. */
static int64_t get_value(uint64_t to, const void *value, size_t size)
{
	char copy[sizeof(struct user_termios)];

	lock_take(&terminal.lock);
	memcpy(copy, value, size);
	lock_drop(&terminal.lock);
	return user_write(to, copy, size);
}

static int64_t set_value(uint64_t from, void *value, size_t size)
{
	char copy[sizeof(struct user_termios)];

	if (user_read(copy, from, size))
		return -EFAULT;
	lock_take(&terminal.lock);
	memcpy(value, copy, size);
	lock_drop(&terminal.lock);
	wait_wake(&terminal_readers); /* what can be read depends on the mode */
	return 0;
}

static int64_t set_group(uint64_t argument)
{
	int wanted;

	if (user_read(&wanted, argument, sizeof(wanted)))
		return -EFAULT;
	if (wanted <= 0)
		return -EINVAL;
	lock_take(&terminal.lock);
	terminal.group = wanted;
	lock_drop(&terminal.lock);
	return 0;
}

static int64_t console_file_ioctl(struct file *file, unsigned command, uint64_t argument)
{
	(void)file;
	switch (command) {
	case TCGETS:
		return get_value(argument, &terminal.termios, sizeof(terminal.termios));
	case TCSETSF:
		terminal_drop_input();
		return set_value(argument, &terminal.termios, sizeof(terminal.termios));
	case TCSETS:
	case TCSETSW:
		return set_value(argument, &terminal.termios, sizeof(terminal.termios));
	case TIOCGWINSZ:
		return get_value(argument, terminal.window, sizeof(terminal.window));
	case TIOCSWINSZ:
		return set_value(argument, terminal.window, sizeof(terminal.window));
	case TIOCGPGRP:
		return get_value(argument, &terminal.group, sizeof(terminal.group));
	case TIOCSPGRP:
		return set_group(argument);
	case TIOCGSID:
		return get_value(argument, &terminal.session, sizeof(terminal.session));
	case FIONREAD:
		return get_value(argument, &terminal.count, sizeof(terminal.count));
	case TCFLSH:
		if (argument != 1)
			terminal_drop_input();
		return 0;
	case TCSBRK: /* to the end of output, which is there */
		return 0;
	case TIOCSCTTY:
		adopt(current_process(), true);
		return 0;
	default:
		return -ENOTTY;
	}
}

const struct file_ops console_file_ops = {
	.open = console_file_open,
	.read = console_file_read,
	.write = console_file_write,
	.poll = console_file_poll,
	.queue = console_file_queue,
	.ioctl = console_file_ioctl,
};
