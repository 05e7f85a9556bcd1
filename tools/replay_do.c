/* SPDX-License-Identifier: MIT */
/*
 * One event on Quire, and what comes of it against what the plan expects.
 *
 * Each call is asked to give the addresses that Linux gave: a mapping that Linux placed is asked
 * for there, but must not replace anything; a mapping that moved is asked to move there. What maps
 * neither a file nor memory (devices; descriptors of which nothing is known) becomes anonymous
 * memory of the same shape.
 */
#include "replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAP_TYPE 0xf

void replay_disagree(struct results *results, uint32_t line, const char *format, ...)
{
	struct disagreement d = { .line = line };
	va_list arguments;
	unsigned i;

	va_start(arguments, format);
	vsnprintf(d.text, sizeof(d.text), format, arguments);
	va_end(arguments);
	results->disagreements++;
	pthread_mutex_lock(&results->lock);
	i = results->shown_count;
	while (i && results->shown[i - 1].line > line)
		i--;
	if (i < REPLAY_SHOWN) {
		if (results->shown_count < REPLAY_SHOWN)
			results->shown_count++;
		memmove(&results->shown[i + 1], &results->shown[i],
			(results->shown_count - i - 1) * sizeof(d));
		results->shown[i] = d;
	}
	pthread_mutex_unlock(&results->lock);
}

bool replay_begin_space(struct space *space, const struct replay_options *options)
{
	struct quire_mm_config config = {
		.mode = options->mode,
		.brk_start = space->brk_start,
		.limits.stack = REPLAY_STACK_LIMIT,
	};
	int error;

	/* Beyond five levels' addresses no heap can begin: such a line is nonsense, and brk then
	 * fails as it must. */
	if (config.brk_start >= 1ull << 56)
		config.brk_start = 0;
	error = quire_mm_create(&config, &space->mm);
	if (error && config.brk_start) { /* the same of four levels */
		config.brk_start = 0;
		error = quire_mm_create(&config, &space->mm);
	}
	if (error)
		space->mm = NULL;
	return error == 0;
}

/* ---- Calls ---- */

static int64_t do_mmap(struct quire_mm *mm, const struct file *file, const struct trace_event *e)
{
	uint64_t address = e->address;
	int flags = (int)(e->flags & (MAP_TYPE | QUIRE_MAP_FIXED | QUIRE_MAP_FIXED_NOREPLACE |
				      QUIRE_MAP_GROWSDOWN | QUIRE_MAP_LOCKED | QUIRE_MAP_NORESERVE |
				      QUIRE_MAP_STACK | QUIRE_MAP_NONBLOCK));

	if (file || (e->flags & QUIRE_MAP_ANONYMOUS))
		flags |= (int)(e->flags & QUIRE_MAP_POPULATE);
	else if ((flags & MAP_TYPE) == QUIRE_MAP_SHARED_VALIDATE)
		flags = (flags & ~MAP_TYPE) | QUIRE_MAP_SHARED;
	if (e->result >= 0) {
		address = (uint64_t)e->result;
		if (!(flags & QUIRE_MAP_FIXED))
			flags |= QUIRE_MAP_FIXED_NOREPLACE;
	}
	if (file && !file->memory)
		return quire_mmap_object(mm, address, e->length, (int)e->prot, flags, file->object,
					 e->offset, file_rights(file));
	return quire_mmap(mm, address, e->length, (int)e->prot, flags | QUIRE_MAP_ANONYMOUS);
}

static int64_t do_layout(struct quire_mm *mm, const struct space *space, const struct file *file,
			 const struct trace_event *e)
{
	uint64_t start, end;
	int flags = (int)(e->flags & MAP_TYPE) | QUIRE_MAP_FIXED;
	int64_t result;

	if (!layout_range(e, &start, &end))
		return 0;
	if (layout_is_heap(e) && start == space->brk_start)
		return quire_brk(mm, end) == end ? 0 : -QUIRE_ENOMEM;
	if (layout_flags(e) & SHADOW_GROWSDOWN)
		flags |= QUIRE_MAP_GROWSDOWN;
	if (file)
		result = quire_mmap_object(mm, start, end - start, (int)e->prot, flags,
					   file->object, e->offset + (start - e->address),
					   file_rights(file));
	else
		result = quire_mmap(mm, start, end - start, (int)e->prot,
				    flags | QUIRE_MAP_ANONYMOUS);
	return result == (int64_t)start ? 0 : result;
}

static int64_t do_mremap(struct quire_mm *mm, const struct trace_event *e)
{
	uint64_t flags = e->flags, to = e->new_address;

	if (e->result >= 0 && (uint64_t)e->result != e->address) {
		flags |= QUIRE_MREMAP_MAYMOVE | QUIRE_MREMAP_FIXED;
		to = (uint64_t)e->result;
	} else if (e->result >= 0) {
		flags &= ~(uint64_t)QUIRE_MREMAP_MAYMOVE;
	}
	return quire_mremap(mm, e->address, e->length, e->new_length, (int)flags, to);
}

static int64_t do_call(const struct plan *plan, const struct space *space,
		       const struct trace_event *e)
{
	struct quire_mm *mm = space->mm;

	switch (e->op) {
	case TRACE_MMAP:
		return do_mmap(mm, file_of(plan, e), e);
	case TRACE_MUNMAP:
		return quire_munmap(mm, e->address, e->length);
	case TRACE_MPROTECT:
		return quire_mprotect(mm, e->address, e->length, (int)e->prot);
	case TRACE_MADVISE:
		return quire_madvise(mm, e->address, e->length, (int)e->flags);
	case TRACE_BRK:
		return (int64_t)quire_brk(mm, e->address);
	case TRACE_MREMAP:
		return do_mremap(mm, e);
	case TRACE_MLOCK:
		return e->flags ? quire_mlock2(mm, e->address, e->length, (int)e->flags)
				: quire_mlock(mm, e->address, e->length);
	case TRACE_MUNLOCK:
		return quire_munlock(mm, e->address, e->length);
	case TRACE_MSYNC:
		return quire_msync(mm, e->address, e->length, (int)e->flags);
	case TRACE_FILE:
		return quire_object_truncate(file_of(plan, e)->object, file_size(e));
	default: /* TRACE_LAYOUT */
		return do_layout(mm, space, file_of(plan, e), e);
	}
}

static const char *result_text(char text[32], int64_t result)
{
	if (result < 0)
		snprintf(text, 32, "error %" PRId64, -result);
	else
		snprintf(text, 32, "%" PRIx64, (uint64_t)result);
	return text;
}

static void call(const struct plan *plan, const struct space *space, const struct planned *planned,
		 const struct trace_event *e, const struct replay_options *options,
		 struct results *results)
{
	int64_t result = do_call(plan, space, e);
	int64_t expected = e->op == TRACE_LAYOUT ? 0 : e->result;
	char ours[32], theirs[32];

	results->calls++;
	if (planned->expect == EXPECT_UNKNOWN)
		results->unexplained++;
	if (planned->expect != EXPECT_RESULT || !options->check)
		return;
	results->compared++;
	if (result != expected)
		replay_disagree(results, e->line, "%s %" PRIx64 " +%" PRIx64 ": %s, on Linux %s",
				trace_op_name(e->op), e->address, e->length,
				result_text(ours, result), result_text(theirs, expected));
}

/* ---- Faults ---- */

static const char *const verdicts[] = {
	[QUIRE_FAULT_DONE] = "resolved",	 [QUIRE_FAULT_MAPERR] = "nothing mapped",
	[QUIRE_FAULT_ACCERR] = "not allowed",	 [QUIRE_FAULT_PKUERR] = "forbidden by key",
	[QUIRE_FAULT_BUS] = "beyond the object", [QUIRE_FAULT_OOM] = "out of memory",
};

static const char *const accesses[] = {
	[QUIRE_READ] = "read",
	[QUIRE_WRITE] = "write",
	[QUIRE_EXEC] = "execution",
};

/* Whether an entry is there, compared with what the error code said. */
static void compare_entry(struct quire_mm *mm, const struct planned *planned,
			  const struct trace_event *e, struct results *results)
{
	unsigned char resident = 0;
	uint64_t page = e->address & ~(QUIRE_PAGE_SIZE - 1);

	if (quire_mincore(mm, page, QUIRE_PAGE_SIZE, &resident) != 0)
		return; /* the verdict will tell */
	results->entries++;
	if ((resident & 1) != (planned->entry == ENTRY_PRESENT))
		replay_disagree(results, e->line, "fault %" PRIx64 " (%" PRIx32 "): %s", e->address,
				e->error,
				resident & 1 ? "an entry is there, on Linux there was none"
					     : "no entry is there, on Linux there was one");
}

/* What the page that the fault gave must hold. Returns false: that is not known. */
static bool expected_bytes(const struct plan *plan, const struct planned *planned,
			   unsigned char bytes[QUIRE_PAGE_SIZE])
{
	return planned->expect == EXPECT_DONE && planned->file != REPLAY_NONE &&
	       file_page(&plan->files[planned->file], planned->page, bytes);
}

static void compare_bytes(const struct plan *plan, const struct planned *planned,
			  const struct trace_event *e, const unsigned char *ours,
			  const unsigned char expected[QUIRE_PAGE_SIZE], struct results *results)
{
	struct file *file = &plan->files[planned->file];

	results->contents++;
	if (memcmp(ours, expected, QUIRE_PAGE_SIZE) != 0 && !file_changed(file))
		replay_disagree(results, e->line, "fault %" PRIx64 ": not what %s%.100s holds",
				e->address, file->memory ? "fresh memory" : "", file->name);
}

static void fault(const struct plan *plan, struct quire_mm *mm, const struct planned *planned,
		  const struct trace_event *e, const struct replay_options *options,
		  struct quire_soft_cpu *cpu, struct results *results)
{
	static const uint8_t wanted[] = {
		[EXPECT_DONE] = QUIRE_FAULT_DONE,
		[EXPECT_MAPERR] = QUIRE_FAULT_MAPERR,
		[EXPECT_ACCERR] = QUIRE_FAULT_ACCERR,
		[EXPECT_BUS] = QUIRE_FAULT_BUS,
	};
	enum quire_access access = (enum quire_access)planned->access;
	enum quire_verdict verdict;
	bool judged = options->check && planned->expect != EXPECT_RACE;
	unsigned char bytes[QUIRE_PAGE_SIZE];
	/* Read before: with the page at hand nothing may take long. */
	bool has_bytes = judged && expected_bytes(plan, planned, bytes);
	const unsigned char *page = NULL;

	if (options->check && planned->entry != ENTRY_ANY)
		compare_entry(mm, planned, e, results);
	verdict = quire_fault(mm, e->address, access);
	results->faults++;
	if (planned->expect == EXPECT_RACE)
		results->races++;
	else if (judged)
		results->compared++;
	if (judged && verdict != wanted[planned->expect])
		replay_disagree(results, e->line, "fault %" PRIx64 ", %s: %s, by the recording %s",
				e->address, accesses[access], verdicts[verdict],
				verdicts[wanted[planned->expect]]);
	/* The CPU repeats the access. */
	if (verdict == QUIRE_FAULT_DONE)
		page = quire_soft_translate(cpu, e->address & ~(QUIRE_PAGE_SIZE - 1), access);
	if (page && has_bytes)
		compare_bytes(plan, planned, e, page, bytes, results);
	else if (verdict == QUIRE_FAULT_DONE && !page && judged)
		replay_disagree(results, e->line,
				"fault %" PRIx64 ", %s: resolved, but repeated: %s", e->address,
				accesses[access], verdicts[cpu->verdict]);
}

/* ---- All of them ---- */

static void fork_space(struct plan *plan, const struct planned *planned,
		       const struct trace_event *e, const struct replay_options *options,
		       struct results *results)
{
	struct space *parent = &plan->spaces[planned->space];
	struct space *child = &plan->spaces[planned->child];
	int error;

	if (child->users == 0)
		return;
	error = quire_fork(parent->mm, &child->mm);
	results->calls++;
	results->compared += options->check;
	if (error) {
		child->mm = NULL;
		replay_disagree(results, e->line, "fork: error %d, on Linux %d", -error, e->child);
	}
}

void replay_do(struct plan *plan, uint32_t position, const struct replay_options *options,
	       struct quire_soft_cpu *cpu, struct results *results)
{
	const struct planned *planned = &plan->events[position];
	const struct trace_event *e = &plan->trace->events[planned->event];
	struct space *space = &plan->spaces[planned->space];

	if (e->op == TRACE_EXEC) {
		struct space *next = &plan->spaces[planned->child];

		if (next->users && !replay_begin_space(next, options))
			replay_disagree(results, e->line, "exec: no memory for an address space");
		return;
	}
	switch (planned->expect) {
	case EXPECT_NOTHING:
		return;
	case SKIP_UNEXPLAINED:
		results->unexplained++;
		return;
	case SKIP_UNREPLAYABLE:
		results->unreplayable++;
		return;
	}
	if (!space->mm) {
		results->lost++;
		return;
	}
	if (e->op == TRACE_CLONE)
		fork_space(plan, planned, e, options, results);
	else if (e->op == TRACE_FAULT || e->op == TRACE_KERNEL_FAULT)
		fault(plan, space->mm, planned, e, options, cpu, results);
	else
		call(plan, space, planned, e, options, results);
}
