/* SPDX-License-Identifier: MIT */
/*
 * Time: the time stamp counter, which runs evenly and alike on all CPUs, measured against the old
 * interval timer; the day from the battery-backed clock; interrupts by the local APIC's timer.
 */
#include "arch/setup.h"

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61 /* bit 0: channel 2 counts */
#define PIT_RAN_OUT 0x20
#define PIT_END 32768 /* of 65535: 27 ms */
#define LOOKS 16

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_STATUS_A 10
#define RTC_STATUS_B 11
#define RTC_UPDATING 0x80
#define RTC_24_HOURS 0x02
#define RTC_BINARY 0x04

uint64_t time_at_boot, tsc_hz;

static uint64_t tsc_at_boot;
static uint64_t ns_per_tick;  /* of the TSC; 32 bits behind the point */
static uint64_t ticks_per_ns; /* of the APIC's timer; likewise */

/* The three clocks at one moment. The two timers count down. */
struct moment {
	uint64_t tsc, width;
	uint32_t apic;
	uint16_t pit;
};

static struct moment now(void)
{
	struct moment m;
	uint64_t before = tsc_read();

	port_out8(PIT_COMMAND, 0x80); /* keep channel 2's count */
	m.apic = apic_timer_left();
	m.tsc = tsc_read();
	m.width = m.tsc - before;
	m.pit = port_in8(PIT_CHANNEL2);
	m.pit |= (uint16_t)(port_in8(PIT_CHANNEL2) << 8);
	return m;
}

/* What disturbs a look makes it longer: the shortest of some is the one to trust. */
static struct moment look(void)
{
	struct moment best = now();

	for (int i = 1; i < LOOKS; i++) {
		struct moment m = now();

		if (m.width < best.width)
			best = m;
	}
	return best;
}

static void measure(void)
{
	struct moment begin, end;
	uint64_t pit;

	/* Who was away for so long that the count ran out begins again. */
	do {
		port_out8(PIT_GATE, (port_in8(PIT_GATE) & 0xfc) | 1);
		port_out8(PIT_COMMAND, 0xb0); /* channel 2, both bytes, once */
		port_out8(PIT_CHANNEL2, 0xff);
		port_out8(PIT_CHANNEL2, 0xff);
		apic_timer_set(UINT32_MAX);
		begin = look();
		while (now().pit > PIT_END)
			__builtin_ia32_pause();
		end = look();
	} while (port_in8(PIT_GATE) & PIT_RAN_OUT);
	apic_timer_set(0);
	pit = (uint64_t)(begin.pit - end.pit);
	tsc_hz = (end.tsc - begin.tsc) * PIT_HZ / pit;
	ns_per_tick = (SECOND << 32) / tsc_hz;
	ticks_per_ns = ((uint64_t)(begin.apic - end.apic) * PIT_HZ / pit << 32) / SECOND;
}

static unsigned rtc_read(uint8_t at, bool binary)
{
	unsigned v;

	port_out8(RTC_INDEX, at);
	v = port_in8(RTC_DATA);
	if (binary)
		return v;
	/* Bit 7 of the hours says "afternoon" on a 12-hour clock. */
	return (v & 0x0f) + (v >> 4 & 7) * 10 + (v & 0x80 && at != 4 ? 80 : v & 0x80);
}

static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
	/* The year begins in March: the leap day is its last. */
	unsigned y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static uint64_t rtc_seconds(void)
{
	uint8_t mode;
	unsigned hour, day, month, year;
	uint64_t seconds;

	for (;;) {
		port_out8(RTC_INDEX, RTC_STATUS_A);
		if (!(port_in8(RTC_DATA) & RTC_UPDATING))
			break;
	}
	port_out8(RTC_INDEX, RTC_STATUS_B);
	mode = port_in8(RTC_DATA);
	seconds = rtc_read(0, mode & RTC_BINARY) + 60ull * rtc_read(2, mode & RTC_BINARY);
	hour = rtc_read(4, mode & RTC_BINARY);
	day = rtc_read(7, mode & RTC_BINARY);
	month = rtc_read(8, mode & RTC_BINARY);
	year = 2000 + rtc_read(9, mode & RTC_BINARY);
	if (!(mode & RTC_24_HOURS))
		hour = (hour & 0x7f) % 12 + (hour & 0x80 ? 12 : 0);
	return seconds + 3600 * hour + 86400 * days_since_1970(year, month, day);
}

void time_init(void)
{
	measure();
	tsc_at_boot = tsc_read();
	time_at_boot = rtc_seconds() * SECOND - time_now();
}

static uint64_t scale(uint64_t value, uint64_t factor)
{
	return (uint64_t)((unsigned __int128)value * factor >> 32);
}

uint64_t time_now(void)
{
	return scale(tsc_read() - tsc_at_boot, ns_per_tick);
}

uint64_t quire_x86_clock(void)
{
	return time_now();
}

void time_delay(uint64_t nanoseconds)
{
	uint64_t end = time_now() + nanoseconds;

	while (time_now() < end)
		__builtin_ia32_pause();
}

/* What is too far away for the timer comes early, and is programmed again then. */
void time_program(uint64_t at)
{
	uint64_t now = time_now();
	uint64_t ticks = at > now ? scale(at - now, ticks_per_ns) + 1 : 1;
	apic_timer_set(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
