/* SPDX-License-Identifier: MIT */
/*
 * What `quire boot --profile` loads into QEMU: counts how often each instruction of the guest is
 * executed, all of the time or only inside regions that a program marks:
 *
 *	nopl 0x56420001(%rax,%rax)	a region begins	(0f 1f 84 00 01 00 42 56)
 *	nopl 0x56420002(%rax,%rax)	it ends
 *
 * QEMU adds to a counter before the instruction, without a call. Such a counter can't be switched
 * off, so where a region begins all of them are kept as they are then, and where it ends what came
 * since is added up. Regions may nest and overlap: what runs inside any counts once.
 *
 * An instruction that faults is executed again and counts twice; the time stamp counter of -icount
 * knows only the second time. Nothing is locked: the counts are right where one thread runs all
 * CPUs (-icount does).
 *
 *	-plugin guest-profile.so,out=FILE[,marked=on]
 *
 * FILE has a line "regions N", and one with address (hexadecimal) and count for each instruction.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* QEMU's interface for plugins, version 1, as far as it is used here (docs/devel/tcg-plugins). */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*translated)(qemu_plugin_id_t,
							      struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*ended)(qemu_plugin_id_t, void *),
				    void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
						enum qemu_plugin_op op, void *counter,
						uint64_t addend);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*executed)(unsigned int cpu, void *data),
					    enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
							       const void *info, int argc,
							       char **argv);

enum { BUCKETS = 1 << 16, BLOCK = 1 << 12 };

struct instruction {
	uint64_t address, executed;
	uint64_t before, inside; /* executed when the region began; in regions that have ended */
	struct instruction *next;
};

/* A list of them: instructions stay where they are, since translated code adds to them. */
struct block {
	struct instruction instructions[BLOCK];
	struct block *next;
};

static struct instruction *buckets[BUCKETS];
static struct block *blocks;
static size_t used = BLOCK; /* of the first block */
static FILE *out;
static bool marked;
static uint64_t open_regions, regions;

static struct instruction *add(uint64_t address)
{
	struct instruction *instruction;

	if (used == BLOCK) {
		struct block *block = calloc(1, sizeof(*block));

		if (!block) {
			perror("guest-profile");
			exit(1);
		}
		block->next = blocks;
		blocks = block;
		used = 0;
	}
	instruction = &blocks->instructions[used++];
	instruction->address = address;
	return instruction;
}

static struct instruction *find(uint64_t address)
{
	struct instruction **at = &buckets[(address * 0x9e3779b97f4a7c15) >> 48];

	while (*at && (*at)->address != address)
		at = &(*at)->next;
	if (!*at)
		*at = add(address);
	return *at;
}

static void each(void (*visit)(struct instruction *))
{
	size_t count = used;

	for (struct block *block = blocks; block; block = block->next, count = BLOCK)
		for (size_t i = 0; i < count; i++)
			visit(&block->instructions[i]);
}

static void keep(struct instruction *instruction)
{
	instruction->before = instruction->executed;
}

static void add_up(struct instruction *instruction)
{
	instruction->inside += instruction->executed - instruction->before;
}

static void begin(unsigned int cpu, void *data)
{
	(void)cpu, (void)data;
	regions++;
	if (open_regions++ == 0)
		each(keep);
}

static void end(unsigned int cpu, void *data)
{
	(void)cpu, (void)data;
	if (open_regions > 0 && --open_regions == 0)
		each(add_up);
}

/* 1 where a region begins, 2 where it ends, else 0. */
static int mark_of(const struct qemu_plugin_insn *insn)
{
	static const unsigned char nop[] = { 0x0f, 0x1f, 0x84, 0x00 },
				   magic[] = { 0x00, 0x42, 0x56 };
	const unsigned char *byte = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != 8 || memcmp(byte, nop, sizeof(nop)) != 0 ||
	    memcmp(byte + 5, magic, sizeof(magic)) != 0)
		return 0;
	return byte[4] <= 2 ? byte[4] : 0;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int mark = mark_of(insn);

		qemu_plugin_register_vcpu_insn_exec_inline(
			insn, QEMU_PLUGIN_INLINE_ADD_U64,
			&find(qemu_plugin_insn_vaddr(insn))->executed, 1);
		if (mark != 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark == 1 ? begin : end,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

static void print(struct instruction *instruction)
{
	uint64_t count = marked ? instruction->inside : instruction->executed;

	if (count > 0)
		fprintf(out, "%" PRIx64 " %" PRIu64 "\n", instruction->address, count);
}

static void ended(qemu_plugin_id_t id, void *data)
{
	(void)id, (void)data;
	if (open_regions > 0)
		each(add_up);
	fprintf(out, "regions %" PRIu64 "\n", regions);
	each(print);
	if (fclose(out) != 0)
		perror("guest-profile");
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "out=", 4) == 0)
			out = fopen(argv[i] + 4, "w");
		else if (strcmp(argv[i], "marked=on") == 0)
			marked = true;
		else
			return -1;
	}
	if (!out) {
		perror("guest-profile: out");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
