/* SPDX-License-Identifier: MIT */
/*
 * A terminal's lines: termios(3), as far as programs on a serial line use it.
 *
 *     interrupt ──► console_input: wakes ──► a kernel thread: signals, editing, echo
 *                                               │ line (canonical mode)
 *                                               ▼
 *                              typed: a ring of cells ──► terminal_read, poll(2)
 *
 * A cell is a byte, or the end of a file, and says whether a line ends with it.
 */
#include "fs/terminal.h"

#include "arch/console.h"
#include "fs/special.h"
#include "lib/string.h"
#include "task/task.h"

#define IGNCR 0x80u
#define ICRNL 0x100u
#define INLCR 0x40u
#define IXON 0x400u
#define OPOST 1u
#define ONLCR 4u
#define CFLAGS 0xbfu /* 38400 baud, 8 bits, can receive */
#define ISIG 1u
#define ECHO 8u
#define ECHOE 0x10u
#define ECHOK 0x20u
#define ECHOCTL 0x200u
#define ECHOKE 0x800u
#define IEXTEN 0x8000u

#define LINE_ROOM 4096u
#define RING_ROOM 8192u /* a power of two */
#define CELL_END 0x100u /* a line ends with it */
#define CELL_EOF 0x200u /* no byte */

_Static_assert(sizeof(struct user_termios) == 36, "struct termios of the system call");

struct terminal terminal = {
	.termios = {
		.input = ICRNL | IXON,
		.output = OPOST | ONLCR,
		.control = CFLAGS,
		.local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.characters = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0 },
	},
	.window = { 24, 80, 0, 0 },
};
struct wait_queue terminal_readers = WAIT_QUEUE_INIT(terminal_readers);

static uint8_t line[LINE_ROOM];
static unsigned line_length;
static uint16_t ring[RING_ROOM];
static unsigned ring_head, ring_ends;

static struct wait_queue typed = WAIT_QUEUE_INIT(typed); /* the thread's */

void console_input(void)
{
	wait_wake(&typed);
}

/* => lock */
static void ring_put(unsigned cell)
{
	if (terminal.count == RING_ROOM)
		return;
	ring[(ring_head + terminal.count++) % RING_ROOM] = (uint16_t)cell;
	ring_ends += (cell & CELL_END) != 0;
}

/* => lock; not empty */
static unsigned ring_take(void)
{
	unsigned cell = ring[ring_head++ % RING_ROOM];

	terminal.count--;
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

	if (!(terminal.termios.local & ECHO))
		return;
	if (c < 32 && c != '\n' && c != '\t' && terminal.termios.local & ECHOCTL)
		format(echo + length, room - length, "^%c", c + '@');
	else
		format(echo + length, room - length, "%c", c);
}

/* Rubs out one character, or (all) the line. => lock */
static void erase(char *echo, size_t room, bool all)
{
	while (line_length) {
		unsigned width = line[--line_length] < 32 ? 2 : 1;

		while (width-- && terminal.termios.local & ECHO && strlen(echo) + 4 < room)
			strlcpy(echo + strlen(echo), "\b \b", 4);
		if (!all)
			break;
	}
}

static int signal_of(uint8_t c)
{
	if (!(terminal.termios.local & ISIG) || c == 0)
		return 0;
	return c == terminal.termios.characters[VINTR]	 ? SIGINT
	       : c == terminal.termios.characters[VQUIT] ? SIGQUIT
	       : c == terminal.termios.characters[VSUSP] ? SIGTSTP
							 : 0;
}

/* => lock */
static void edit(uint8_t c, char *echo, size_t room)
{
	const uint8_t *keys = terminal.termios.characters;

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
		terminal.count = ring_ends = 0;
		show(echo, room, c);
		return signal;
	}
	if (c == '\r' && terminal.termios.input & IGNCR)
		return 0;
	if (c == '\r' && terminal.termios.input & ICRNL)
		c = '\n';
	else if (c == '\n' && terminal.termios.input & INLCR)
		c = '\r';
	if (terminal.termios.local & ICANON) {
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
		lock_take(&terminal.lock);
		info.signo = input((uint8_t)bytes[i], echo, sizeof(echo));
		to = terminal.group;
		lock_drop(&terminal.lock);
		console_write(echo, strlen(echo));
		if (info.signo && to)
			(void)signal_send_group(to, &info);
	}
	wait_wake(&terminal_readers);
}

static void console_thread(void *unused)
{
	(void)unused;
	for (;;) {
		(void)wait_until(&typed, SLEEP_DEEPLY, NEVER, console_can_read());
		take_input();
	}
}

void terminal_init(void)
{
	(void)task_create_kernel("console", console_thread, NULL);
}

/* => lock */
static bool can_read(void)
{
	return terminal.termios.local & ICANON ? ring_ends != 0 : terminal.count != 0;
}

bool terminal_can_read(void)
{
	bool can;

	lock_take(&terminal.lock);
	can = can_read();
	lock_drop(&terminal.lock);
	return can;
}

/* => lock */
static size_t take_typed(char *buffer, size_t size)
{
	bool lines = terminal.termios.local & ICANON;
	size_t done = 0;

	while (done < size && terminal.count) {
		unsigned cell = ring_take();

		if (!(cell & CELL_EOF))
			buffer[done++] = (char)cell;
		if (lines && cell & CELL_END)
			break;
	}
	return done;
}

int64_t terminal_read(char *buffer, size_t size)
{
	int64_t result = -EAGAIN;

	lock_take(&terminal.lock);
	if (can_read())
		result = (int64_t)take_typed(buffer, size);
	lock_drop(&terminal.lock);
	return result;
}

void terminal_drop_input(void)
{
	lock_take(&terminal.lock);
	line_length = terminal.count = ring_ends = 0;
	lock_drop(&terminal.lock);
}
