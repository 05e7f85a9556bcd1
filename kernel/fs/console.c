/* SPDX-License-Identifier: MIT */
/*
 * The console as a terminal: termios(3), as far as programs on a serial line use it.
 *
 *     interrupt ──► console_input: wakes ──► a kernel thread: signals, editing, echo
 *                                               │ line (canonical mode)
 *                                               ▼
 *                              typed: a ring of cells ──► read(2), poll(2)
 *
 * A cell is a byte, or the end of a file, and says whether a line ends with it. Output goes out as
 * it is, but that a line feed always becomes CR LF. There is one session; the foreground group is
 * that of who opened first, until it is set. Nobody is stopped for being in the background.
 */
#include "arch/console.h"

#include "fs/special.h"
#include "fs/tree.h"

#include "lib/string.h"
#include "memory/user.h"
#include "task/task.h"

#define TCGETS 0x5401u
#define TCSETS 0x5402u
#define TCSETSW 0x5403u
#define TCSETSF 0x5404u
#define TCSBRK 0x5409u
#define TCXONC 0x540au
#define TCFLSH 0x540bu
#define TIOCSCTTY 0x540eu
#define TIOCGPGRP 0x540fu
#define TIOCSPGRP 0x5410u
#define TIOCOUTQ 0x5411u
#define TIOCGWINSZ 0x5413u
#define TIOCSWINSZ 0x5414u
#define FIONREAD 0x541bu
#define TIOCNOTTY 0x5422u
#define TIOCGSID 0x5429u

#define IGNCR 0x80u
#define ICRNL 0x100u
#define INLCR 0x40u
#define IXON 0x400u
#define OPOST 1u
#define ONLCR 4u
#define CFLAGS 0xbfu /* 38400 baud, 8 bits, can receive */
#define ISIG 1u
#define ICANON 2u
#define ECHO 8u
#define ECHOE 0x10u
#define ECHOK 0x20u
#define ECHOCTL 0x200u
#define ECHOKE 0x800u
#define IEXTEN 0x8000u

enum {
	VINTR = 0,
	VQUIT = 1,
	VERASE = 2,
	VKILL = 3,
	VEOF = 4,
	VTIME = 5,
	VMIN = 6,
	VSUSP = 10,
	VWERASE = 14
};

#define LINE_ROOM 4096u
#define RING_ROOM 8192u /* a power of two */
#define CELL_END 0x100u /* a line ends with it */
#define CELL_EOF 0x200u /* no byte */
#define PIECE 512u	/* written at a time: with interrupts disabled */

struct user_termios {
	uint32_t input, output, control, local;
	uint8_t discipline, characters[19];
};

_Static_assert(sizeof(struct user_termios) == 36, "struct termios of the system call");

static struct lock lock = LOCK_INIT; /* plain: all that follows */
static struct user_termios termios = {
	.input = ICRNL | IXON,
	.output = OPOST | ONLCR,
	.control = CFLAGS,
	.local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.characters = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0 },
};
static uint16_t window[4] = { 24, 80, 0, 0 };
static int group, session;
static uint8_t line[LINE_ROOM];
static unsigned line_length;
static uint16_t ring[RING_ROOM];
static unsigned ring_head, ring_count, ring_ends;

static struct wait_queue typed = WAIT_QUEUE_INIT(typed); /* the thread's */
static struct wait_queue readers = WAIT_QUEUE_INIT(readers);

void console_input(void)
{
	wait_wake(&typed);
}

/* => lock */
static void ring_put(unsigned cell)
{
	if (ring_count == RING_ROOM)
		return;
	ring[(ring_head + ring_count++) % RING_ROOM] = (uint16_t)cell;
	ring_ends += (cell & CELL_END) != 0;
}

/* => lock; not empty */
static unsigned ring_take(void)
{
	unsigned cell = ring[ring_head++ % RING_ROOM];

	ring_count--;
	ring_ends -= (cell & CELL_END) != 0;
	return cell;
}

/* The line that is being typed can be read. => lock */
static void line_commit(unsigned last)
{
	for (unsigned i = 0; i < line_length; i++)
		ring_put(line[i] | (last == 0 && i + 1 == line_length ? CELL_END : 0));
	if (last)
		ring_put(last | CELL_END);
	line_length = 0;
}

/* What a character looks like: appended to `echo`. => lock */
static void show(char *echo, size_t room, uint8_t c)
{
	size_t length = strlen(echo);

	if (!(termios.local & ECHO))
		return;
	if (c < 32 && c != '\n' && c != '\t' && termios.local & ECHOCTL)
		format(echo + length, room - length, "^%c", c + '@');
	else
		format(echo + length, room - length, "%c", c);
}

/* Rubs out one character, or (all) the line. => lock */
static void erase(char *echo, size_t room, bool all)
{
	while (line_length) {
		unsigned width = line[--line_length] < 32 ? 2 : 1;

		while (width-- && termios.local & ECHO && strlen(echo) + 4 < room)
			strlcpy(echo + strlen(echo), "\b \b", 4);
		if (!all)
			break;
	}
}

static int signal_of(uint8_t c)
{
	if (!(termios.local & ISIG) || c == 0)
		return 0;
	return c == termios.characters[VINTR]	? SIGINT
	       : c == termios.characters[VQUIT] ? SIGQUIT
	       : c == termios.characters[VSUSP] ? SIGTSTP
						: 0;
}

/* => lock */
static void edit(uint8_t c, char *echo, size_t room)
{
	const uint8_t *keys = termios.characters;

	if (c == keys[VERASE] || c == '\b') {
		erase(echo, room, false);
	} else if (c == keys[VKILL]) {
		erase(echo, room, true);
	} else if (c == keys[VEOF]) {
		line_commit(line_length ? 0 : CELL_EOF);
	} else if (c == '\n') {
		show(echo, room, c);
		line_commit('\n');
	} else if (line_length < LINE_ROOM - 1) {
		line[line_length++] = c;
		show(echo, room, c);
	}
}

/* One character that was typed. Returns the signal that it means, or 0. => lock */
static int input(uint8_t c, char *echo, size_t room)
{
	int signal = signal_of(c);

	if (signal) {
		line_length = 0;
		ring_count = ring_ends = 0;
		show(echo, room, c);
		return signal;
	}
	if (c == '\r' && termios.input & IGNCR)
		return 0;
	if (c == '\r' && termios.input & ICRNL)
		c = '\n';
	else if (c == '\n' && termios.input & INLCR)
		c = '\r';
	if (termios.local & ICANON) {
		edit(c, echo, room);
	} else {
		ring_put(c | CELL_END);
		show(echo, room, c);
	}
	return 0;
}

static void take_input(void)
{
	static char echo[3 * LINE_ROOM + 8]; /* the thread's own */
	char bytes[64];
	size_t count = console_read(bytes, sizeof(bytes));

	for (size_t i = 0; i < count; i++) {
		struct signal_info info = { .code = SI_KERNEL };
		int to;

		echo[0] = 0;
		lock_take(&lock);
		info.signo = input((uint8_t)bytes[i], echo, sizeof(echo));
		to = group;
		lock_drop(&lock);
		console_write(echo, strlen(echo));
		if (info.signo && to)
			(void)signal_send_group(to, &info);
	}
	wait_wake(&readers);
}

static void console_thread(void *unused)
{
	(void)unused;
	for (;;) {
		(void)wait_until(&typed, SLEEP_DEEPLY, NEVER, console_can_read());
		take_input();
	}
}

void console_file_init(void)
{
	(void)task_create_kernel("console", console_thread, NULL);
}

/* => lock */
static bool can_read(void)
{
	return termios.local & ICANON ? ring_ends != 0 : ring_count != 0;
}

static bool can_read_now(void)
{
	bool can;

	lock_take(&lock);
	can = can_read();
	lock_drop(&lock);
	return can;
}

/* To the end of a line at most, or without lines what there is. => lock; can_read */
static size_t take_typed(char *buffer, size_t size)
{
	bool lines = termios.local & ICANON;
	size_t done = 0;

	while (done < size && ring_count) {
		unsigned cell = ring_take();

		if (!(cell & CELL_EOF))
			buffer[done++] = (char)cell;
		if (lines && cell & CELL_END)
			break;
	}
	return done;
}

/* Without lines VMIN 0 does not wait for more than VTIME (tenths of a second). */
static uint64_t read_deadline(void)
{
	uint64_t deadline = NEVER;

	lock_take(&lock);
	if (!(termios.local & ICANON) && termios.characters[VMIN] == 0)
		deadline = time_now() + termios.characters[VTIME] * 100000000ull;
	lock_drop(&lock);
	return deadline;
}

static int64_t console_file_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	uint64_t deadline = read_deadline();

	(void)position;
	while (size) {
		size_t count = 0;
		bool can;
		int result;

		lock_take(&lock);
		can = can_read();
		if (can)
			count = take_typed(buffer, size);
		lock_drop(&lock);
		if (can)
			return (int64_t)count;
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		result = wait_until(&readers, SLEEP_INTERRUPTIBLY, deadline, can_read_now());
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
	return can_read_now() ? POLLIN_NORMAL | POLLOUT_NORMAL : POLLOUT_NORMAL;
}

static struct wait_queue *console_file_queue(struct file *file)
{
	(void)file;
	return &readers;
}

static int console_file_open(struct file *file)
{
	struct process *process = current_process();

	(void)file;
	lock_take(&lock);
	if (process && !group) {
		group = process->group;
		session = process->session;
	}
	lock_drop(&lock);
	return 0;
}

/* Copies between the program and something small that `lock` guards. */
static int64_t get_value(uint64_t to, const void *value, size_t size)
{
	char copy[sizeof(struct user_termios)];

	lock_take(&lock);
	memcpy(copy, value, size);
	lock_drop(&lock);
	return user_write(to, copy, size);
}

static int64_t set_value(uint64_t from, void *value, size_t size)
{
	char copy[sizeof(struct user_termios)];

	if (user_read(copy, from, size))
		return -EFAULT;
	lock_take(&lock);
	memcpy(value, copy, size);
	lock_drop(&lock);
	wait_wake(&readers); /* what can be read depends on the mode */
	return 0;
}

static void drop_input(void)
{
	lock_take(&lock);
	line_length = ring_count = ring_ends = 0;
	lock_drop(&lock);
}

static int64_t set_group(uint64_t argument)
{
	int wanted;

	if (user_read(&wanted, argument, sizeof(wanted)))
		return -EFAULT;
	if (wanted <= 0)
		return -EINVAL;
	lock_take(&lock);
	group = wanted;
	lock_drop(&lock);
	return 0;
}

static int64_t console_file_ioctl(struct file *file, unsigned command, uint64_t argument)
{
	static const int nothing;

	(void)file;
	switch (command) {
	case TCGETS:
		return get_value(argument, &termios, sizeof(termios));
	case TCSETSF:
		drop_input();
		return set_value(argument, &termios, sizeof(termios));
	case TCSETS:
	case TCSETSW:
		return set_value(argument, &termios, sizeof(termios));
	case TIOCGWINSZ:
		return get_value(argument, window, sizeof(window));
	case TIOCSWINSZ:
		return set_value(argument, window, sizeof(window));
	case TIOCGPGRP:
		return get_value(argument, &group, sizeof(group));
	case TIOCSPGRP:
		return set_group(argument);
	case TIOCGSID:
		return get_value(argument, &session, sizeof(session));
	case FIONREAD:
		return get_value(argument, &ring_count, sizeof(ring_count));
	case TIOCOUTQ:
		return get_value(argument, &nothing, sizeof(nothing));
	case TCFLSH:
		if (argument != 1)
			drop_input();
		return 0;
	case TCSBRK:
	case TCXONC:
	case TIOCSCTTY:
	case TIOCNOTTY:
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
