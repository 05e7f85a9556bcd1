/* SPDX-License-Identifier: MIT */
/*
 * quire replay, inside: what its files share.
 *
 *   replay.c         options, the order of the steps, the exit status
 *   replay_plan.c    the order of events: who waits for whom; with replay_place.c, replay_order.c
 *   replay_shadow.c  what the recording says about every address: unknown, free, mapped
 *   replay_files.c   the files that the recording maps: which they are, and which are still there
 *   replay_look.c    what lies in a range of the shadow
 *   replay_expect.c  what each call and fault should find, after the recording
 *   replay_apply.c   what each changes in the shadow
 *   replay_run.c     virtual CPUs and the recorded tasks on them
 *   replay_do.c      one event on Quire, and the comparison
 *   replay_objects.c files as objects of Quire, and what their pages must hold
 *   replay_layout.c  the layout at the end of a process, compared
 *   replay_report.c  text and JSON
 *
 * The recording is read twice. *Planning* goes through it alone, in the order of time, with a
 * shadow of every address space, and notes for each event what it waits for and what it should
 * find. *Running* plays the plan on Quire with several virtual CPUs; it decides nothing any more,
 * it only compares.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "trace_file.h"

#include <pthread.h>
#include <quire/soft.h>
#include <stdatomic.h>

#define REPLAY_NONE UINT32_MAX
#define REPLAY_ALL (UINT32_MAX - 1)	/* a wait for every task of the space */
#define REPLAY_END UINT32_MAX		/* position behind a task's last event */
#define REPLAY_STACK_LIMIT (8ull << 20) /* the usual RLIMIT_STACK; the recording doesn't tell */

/* What the recording says of a piece of an address space. */
enum shadow_state { SHADOW_UNKNOWN, SHADOW_FREE, SHADOW_MAPPED };

enum {
	SHADOW_SHARED = 1,    /* MAP_SHARED */
	SHADOW_FILE = 2,      /* not plain anonymous memory: entries are not compared */
	SHADOW_GROWSDOWN = 4, /* a stack */
	SHADOW_DONTFORK = 8,
	SHADOW_UNSURE = 16, /* Linux may have dropped or filled entries by itself: they are not
			       compared */
};

struct segment {
	uint64_t start, end;
	uint64_t origin;    /* the address of the file's first byte, modulo 2^64 */
	uint32_t file;	    /* index of plan.files, or REPLAY_NONE */
	uint32_t open;	    /* calls on it that are in progress */
	uint32_t call;	    /* position of the last call on it; 0: none */
	uint32_t call_task; /* whose that was */
	uint32_t fault;	    /* position of the last fault in it; 0: none */
	uint8_t state, prot, flags;
};

struct range {
	uint64_t start, end;
};

/* Segments side by side from 0 to 2^64 - 1, in ascending order. */
struct shadow {
	struct segment *segments;
	uint32_t count, room;
};

/* What is expected of an event. */
enum expect {
	EXPECT_NOTHING, /* it is not about memory: only its place in the order counts */
	EXPECT_RESULT,	/* calls: the recorded result */
	EXPECT_DONE,	/* faults: resolved */
	EXPECT_MAPERR,	/* faults: nothing mapped */
	EXPECT_ACCERR,	/* faults: no right to */
	EXPECT_BUS,	/* faults: beyond the end of the file */
	EXPECT_RACE, /* faults: a call changes this very address meanwhile; either outcome is right
		      */
	EXPECT_UNKNOWN, /* calls: made, but the recording doesn't say why they ended as they did */
	SKIP_UNEXPLAINED,  /* on memory that the recording doesn't explain */
	SKIP_UNREPLAYABLE, /* the outcome came from files, limits or the host's configuration */
};

/* Whether the page table had an entry. */
enum entry { ENTRY_ANY, ENTRY_MISSING, ENTRY_PRESENT };

struct planned {
	uint32_t event; /* index in the trace */
	uint32_t task;
	uint32_t space;
	uint32_t next;	    /* position of the task's next event, or REPLAY_END */
	uint32_t wait_task; /* REPLAY_NONE, REPLAY_ALL or a task: which must have passed ... */
	uint32_t wait_for;  /* ... this position */
	union {
		uint32_t child; /* fork, exec: the space that begins; else REPLAY_NONE */
		uint32_t file;	/* faults: the file whose page is to be seen; or REPLAY_NONE */
	};
	uint64_t page; /* faults: which page of it */
	uint8_t expect, entry, access;
};

struct task {
	_Atomic uint32_t next;	    /* position of its next event; REPLAY_END: none */
	_Atomic uint32_t waited;    /* the lowest position that a task in `waiters` waits for;
				       REPLAY_END: nobody waits */
	uint32_t first, last;	    /* positions */
	uint32_t start_task, start; /* the event that made it, and whose that was; 0: none */
	uint32_t space;		    /* while planning: where it is */
	uint32_t waiters; /* under the scheduler's lock: first of those who wait for this task */
	uint32_t link;	  /* in `waiters` or in the run queue */
	uint32_t awaits;  /* the position that it waits for, as one of `waiters` */
};

struct member {
	uint32_t task, next;
};

struct space {
	struct quire_mm *mm;	     /* NULL: not begun, ended, or failed */
	struct shadow shadow;	     /* as planning left it */
	uint64_t brk_start, brk;     /* brk_start 0: no heap was seen */
	uint32_t brk_task, brk_call; /* the last brk so far; 0: none */
	uint32_t members; /* first of its tasks, an index of plan.members; REPLAY_NONE: none */
	_Atomic uint32_t users;	    /* tasks that still have events here */
	uint32_t begin_task, begin; /* the event that began it, or the last fork of it; 0: none */
	uint32_t last;		    /* position of its last event so far */
	uint32_t final, final_last; /* its Z lines, chained by `next`; REPLAY_END: none */
	int32_t pid;
	bool initial;  /* was there before the first event */
	bool forked;   /* else it begins empty */
	bool complete; /* the recording has its whole layout */
};

/* A file that is mapped, or shared memory of no file. */
struct file {
	const char *name; /* as last recorded */
	uint64_t device, inode;
	uint64_t size;		     /* bytes: while planning, at the event at hand */
	uint64_t begin, least, most; /* its first size; the bounds of all */
	uint64_t faults;	     /* on it */
	int32_t pid;		     /* who told its sizes; 0: several did */
	uint32_t next;		     /* in its bucket; REPLAY_NONE: the last */
	bool memory;		     /* shared memory of no file: Quire makes the object */
	bool known;		     /* device and size are: there is an O line */
	bool mapped;		     /* else there are only O lines */
	bool written;		     /* there is a writable shared mapping */

	/* While running. */
	int fd;			 /* of the file itself, read-only; -1: zeros stand in for it */
	const char *why;	 /* they do; NULL: they don't */
	struct timespec time;	 /* of its last change, when it was opened */
	_Atomic bool changed;	 /* since it was opened */
	_Atomic uint64_t stored; /* size of the store */
	_Atomic uint64_t wrong;	 /* pages that were to be written back with other contents */
	struct quire_object *object;
};

struct plan {
	const struct trace *trace;
	struct planned *events; /* [1 .. count]; a position is an index */
	uint32_t count;
	struct task *tasks;
	uint32_t task_count;
	struct space *spaces;
	uint32_t space_count;
	struct member *members;
	uint32_t member_count;
	struct file *files;
	uint32_t file_count;
	uint32_t *file_of; /* of each event of the trace: M, V, O; else REPLAY_NONE */
	uint64_t pages;	   /* an upper bound of the pages that the recording touches */
};

struct replay_options {
	const char *file;
	enum quire_mode mode;
	unsigned cpus; /* 0: as many as tasks, at most twice the host's */
	unsigned levels;
	uint64_t memory; /* bytes; 0: by the plan */
	bool json, check;
	bool strict; /* a file that is not there as it was is a failure */
};

#define REPLAY_SHOWN 20
#define REPLAY_TEXT 200

struct disagreement {
	uint32_t line; /* in the file; 0: of the whole */
	char text[REPLAY_TEXT];
};

struct results {
	_Atomic uint64_t calls, faults;	    /* done on Quire */
	_Atomic uint64_t compared, entries; /* events that were compared; of them, with their
					       entries */
	_Atomic uint64_t races, unknown;    /* done, and not compared: a race in the recording; an
					       outcome not explained */
	_Atomic uint64_t unexplained, unreplayable; /* not done */
	_Atomic uint64_t lost;			    /* not done: their space could not be made */
	_Atomic uint64_t layouts;		    /* final layouts compared */
	_Atomic uint64_t contents; /* pages of files and shared memory whose bytes were compared */
	_Atomic uint64_t disagreements;
	pthread_mutex_t lock;
	struct disagreement shown[REPLAY_SHOWN]; /* those with the lowest lines, ascending; under
						    lock */
	unsigned shown_count;
	double seconds;
	unsigned cpus;
	struct quire_stats stats;
	char validator[256]; /* "": all is well */
	uint64_t leaked;     /* pages, tables, VMAs that were left when all spaces were gone */
	uint32_t mapped_files, stand_ins;
};

/* replay_shadow.c. Those that return bool fail for lack of memory only. */
bool shadow_init(struct shadow *shadow, enum shadow_state state);
bool shadow_copy(struct shadow *to, const struct shadow *from);
void shadow_free(struct shadow *shadow);
/* The segment of an address. */
uint32_t shadow_find(const struct shadow *shadow, uint64_t address);
/* Make segments begin at start and at end. Returns the first one's index in *first, the index
 * behind the last in *behind. */
bool shadow_cut(struct shadow *shadow, uint64_t start, uint64_t end, uint32_t *first,
		uint32_t *behind);
/* Join neighbours that are alike, from index first - 1 to behind. */
void shadow_join(struct shadow *shadow, uint32_t first, uint32_t behind);

/* replay_files.c */

/* Find the files of a trace, and which of them are still what they were. Returns false: no memory,
 * or too many. */
bool files_collect(struct plan *plan);
void files_free(struct plan *plan);
/* The file of an event, or NULL. */
struct file *file_of(const struct plan *plan, const struct trace_event *e);
/* The size that an O line says; a larger one no object can have. */
static inline uint64_t file_size(const struct trace_event *e)
{
	return e->length < QUIRE_OBJECT_MAX ? e->length : QUIRE_OBJECT_MAX;
}
static inline uint64_t file_pages(uint64_t size)
{
	return size / QUIRE_PAGE_SIZE + (size % QUIRE_PAGE_SIZE != 0);
}
/* Which page a segment of a file shows at an address. */
static inline uint64_t segment_page(const struct segment *segment, uint64_t address)
{
	return (address - segment->origin) / QUIRE_PAGE_SIZE;
}
/* What a layout line shows: the index of a file, or one of these. */
#define FILE_SHARED (UINT32_MAX - 1) /* shared memory of no file */
#define FILE_OTHER (UINT32_MAX - 2)  /* no file that was mapped under this name */
#define FILE_ANY (UINT32_MAX - 3)    /* the recording doesn't tell */
uint32_t file_shown(const struct plan *plan, const struct trace_event *e);

/* replay_objects.c */

/* Make the objects. Returns 0 or a negative error. => the CPU is inside */
int files_begin(struct plan *plan);
/* Give them back. => nothing is mapped any more; the CPU is inside */
void files_end(struct plan *plan, struct results *results);
/* The rights that a mapping may ever get. */
int file_rights(const struct file *file);
/* What this page holds. Returns false: it can't be told. */
bool file_page(const struct file *file, uint64_t page, unsigned char bytes[QUIRE_PAGE_SIZE]);
/* Whether somebody has changed the file since it was opened: then nothing is known. */
bool file_changed(struct file *file);

/* replay_look.c */

/* What lies in a range. */
struct look {
	bool unknown, hole, mapped; /* some of it is */
	bool shared, growsdown;	    /* some of what is mapped is */
	bool file, special;	    /* some is a file's; is a device's or the kernel's */
	bool beyond;		    /* some is beyond the end of its file */
	bool mixed;		    /* what is mapped has different rights */
};
struct look look(const struct plan *plan, const struct space *space, uint64_t start, uint64_t end);
/* Whole pages around [address, address + length). Returns false: none, or beyond all addresses. */
bool whole_pages(uint64_t address, uint64_t length, uint64_t *start, uint64_t *end);
/* The ranges that a call changes or asks about: whole pages, none empty. Returns how many: 2 for an
 * mremap that moves, else 1 or 0. */
unsigned call_ranges(const struct space *space, const struct trace_event *e,
		     struct range ranges[2]);
/* Whether what the call put somewhere would land on memory that is still mapped. */
bool call_collides(const struct plan *plan, const struct space *space, const struct trace_event *e);
/* Whether Linux may have filled a page without a fault on it: there is room for a huge page, or it
 * is a stack. */
bool may_be_filled(const struct plan *plan, const struct space *space, uint64_t address);

#define REPLAY_ADDRESSES (1ull << 56) /* the lower half that five levels translate */
#define LINUX_MAP_HUGETLB 0x40000u

/* replay_expect.c */

/* What the call should find, against the shadow as it is before it. */
enum expect call_expect(const struct plan *plan, const struct space *space,
			const struct trace_event *e);
enum expect fault_expect(const struct plan *plan, const struct space *space,
			 const struct trace_event *e);
/* What the fault wanted to do; where the recording doesn't know, what a mapping with these rights
 * is likely to see. */
enum quire_access fault_access(const struct trace_event *e, unsigned prot);

/* replay_apply.c */

/* Change the shadow as the call did, at this position, by this task. Returns false: no memory. */
bool call_apply(struct plan *plan, struct space *space, const struct trace_event *e,
		enum expect expect, uint32_t position, uint32_t task);
/* The same of faults; what changes is that stacks grow. */
bool fault_apply(struct space *space, const struct trace_event *e, enum expect expect,
		 uint32_t position, uint32_t task);

/* replay_plan.c. Returns false and a message (one line) if the trace can't be replayed. */
bool plan_make(struct plan *plan, const struct trace *trace, char *message, size_t size);
void plan_free(struct plan *plan);

/* replay_run.c. Returns false and a message if it can't begin. */
bool replay_run(struct plan *plan, const struct replay_options *options, struct results *results,
		char *message, size_t size);

/* replay_do.c. => the CPU is inside and runs the event's space, whose mm is not NULL */
void replay_do(struct plan *plan, uint32_t position, const struct replay_options *options,
	       struct quire_soft_cpu *cpu, struct results *results);
bool replay_begin_space(struct space *space, const struct replay_options *options);
__attribute__((format(printf, 3, 4))) void replay_disagree(struct results *results, uint32_t line,
							   const char *format, ...);

/* replay_layout.c. => nothing else runs in the space */
void replay_layout(const struct plan *plan, const struct space *space, struct results *results);
/* The page-aligned range of a layout line as the replay maps it, cut to what a program can have.
 * Returns false: none of it. */
bool layout_range(const struct trace_event *e, uint64_t *start, uint64_t *end);
/* SHADOW_* flags of a layout line. */
unsigned layout_flags(const struct trace_event *e);
bool layout_is_heap(const struct trace_event *e);

/* replay_report.c */
void replay_report(const struct plan *plan, const struct replay_options *options,
		   const struct results *results);

#endif
