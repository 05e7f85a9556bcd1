/* SPDX-License-Identifier: MIT */
/* The one terminal: what terminal.c (lines) and console.c (the file) share. */
#ifndef KERNEL_TERMINAL_H
#define KERNEL_TERMINAL_H

#include "fs/fs.h"

struct user_termios {
	uint32_t input, output, control, local;
	uint8_t discipline, characters[19];
};

enum { VINTR = 0, VQUIT = 1, VERASE = 2, VKILL = 3, VEOF = 4, VTIME = 5, VMIN = 6, VSUSP = 10 };
#define ICANON 2u

struct terminal {
	struct lock lock; /* plain: all of it */
	struct user_termios termios;
	uint16_t window[4]; /* rows, columns, and in pixels */
	int group, session; /* 0: none yet */
	unsigned count;	    /* bytes and ends of files that can be read */
};

extern struct terminal terminal;
extern struct wait_queue terminal_readers;

void terminal_init(void);
bool terminal_can_read(void);
/* To the end of a line at most, or without lines what there is. -EAGAIN: nothing can be read. */
int64_t terminal_read(char *buffer, size_t size);
void terminal_drop_input(void);

#endif
