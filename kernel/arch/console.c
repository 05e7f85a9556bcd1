/* SPDX-License-Identifier: MIT */
#include "arch/console.h"

#include "arch/cpu.h"
#include "arch/setup.h"
#include "lib/print.h"

#define COM1 0x3f8
#define DATA (COM1 + 0)
#define INTERRUPTS (COM1 + 1) /* enable; with DLAB the divisor's high byte */
#define FIFO (COM1 + 2)
#define LINE (COM1 + 3)
#define MODEM (COM1 + 4)
#define STATUS (COM1 + 5)
#define STATUS_RECEIVED 0x01
#define STATUS_EMPTY 0x20
#define FIFO_DEPTH 16

#define DEBUG_CONSOLE 0xe9
#define DEBUG_EXIT 0xf4

#define INPUT_ROOM 4096 /* a power of two */

/* The port to write to, and what was typed: one lock, taken by the interrupt handler too. */
static struct lock lock = LOCK_INIT;
static char input[INPUT_ROOM];
static unsigned input_read, input_written; /* free-running */
static _Atomic bool last_words;

void console_init(void)
{
	port_out8(INTERRUPTS, 0);
	port_out8(LINE, 0x80); /* DLAB */
	port_out8(DATA, 1);    /* 115200 */
	port_out8(INTERRUPTS, 0);
	port_out8(LINE, 0x03);	/* 8N1 */
	port_out8(FIFO, 0x07);	/* on and empty, an interrupt for each byte */
	port_out8(MODEM, 0x0b); /* DTR, RTS, and OUT2: the interrupt line */
}

void console_listen(void)
{
	port_out8(INTERRUPTS, 1);
	/* From now on nothing that is typed gets lost. */
	report_write("ready\n", 6);
}

/* From a panic on, nobody waits for a lock whose holder has been stopped. */
void console_last_words(void)
{
	atomic_store_explicit(&last_words, true, memory_order_relaxed);
}

static uint64_t console_lock(void)
{
	if (atomic_load_explicit(&last_words, memory_order_relaxed))
		return irq_save();
	return lock_take_irq(&lock);
}

static void send(char c, unsigned *room)
{
	while (*room == 0)
		if (port_in8(STATUS) & STATUS_EMPTY)
			*room = FIFO_DEPTH;
	port_out8(DATA, (uint8_t)c);
	(*room)--;
}

void console_write(const char *bytes, size_t count)
{
	uint64_t flags = console_lock();
	unsigned room = 0;

	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == '\n')
			send('\r', &room);
		send(bytes[i], &room);
	}
	lock_drop_irq(&lock, flags);
}

void report_write(const char *bytes, size_t count)
{
	uint64_t flags = console_lock();

	for (size_t i = 0; i < count; i++)
		port_out8(DEBUG_CONSOLE, (uint8_t)bytes[i]);
	lock_drop_irq(&lock, flags);
}

void console_interrupt(void)
{
	uint64_t flags = console_lock();
	bool any = false;

	while (port_in8(STATUS) & STATUS_RECEIVED) {
		char c = (char)port_in8(DATA);

		any = true;
		if (input_written - input_read < INPUT_ROOM)
			input[input_written++ % INPUT_ROOM] = c;
	}
	lock_drop_irq(&lock, flags);
	if (any)
		console_input();
}

size_t console_read(char *bytes, size_t count)
{
	uint64_t flags = console_lock();
	size_t n = 0;

	while (n < count && input_read != input_written)
		bytes[n++] = input[input_read++ % INPUT_ROOM];
	lock_drop_irq(&lock, flags);
	return n;
}

bool console_can_read(void)
{
	uint64_t flags = console_lock();
	bool some = input_read != input_written;

	lock_drop_irq(&lock, flags);
	return some;
}

_Noreturn void machine_exit(int status)
{
	report("exit %d\n", status);
	port_out32(DEBUG_EXIT, status >= 0 && status <= 126 ? (uint32_t)status : 127);
	/* Still here: there is no such device. Ask the keyboard controller for a reset. */
	port_out8(0x64, 0xfe);
	for (;;)
		__asm__ volatile("cli; hlt");
}
