/* SPDX-License-Identifier: MIT */
/*
 * What a handler finds on its stack, and what rt_sigreturn takes from there.
 *
 *     old rsp, or the end of the alternate stack
 *       red zone, 128 bytes (not on the alternate stack)
 *       floating-point state, aligned to 64, as XSAVE lays it out; in the reserved bytes at
 *         its 464: how large it is and what is in it; behind it a magic word
 *       siginfo                    ◄── rsi
 *       ucontext                   ◄── rdx: registers, mask, alternate stack
 *       address of the restorer    ◄── rsp, 8 below a multiple of 16
 *
 * Nothing that comes back is trusted: flags and segments are a program's, rip is canonical, and the
 * floating-point state is cleaned so that the CPU can load it.
 */
#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/signal_parts.h"

#define RED_ZONE 128
#define FX_SIZE 512
#define XSAVE_HEADER 64
#define USER_LIMIT 0x800000000000ull /* from here on not canonical, or the kernel */

enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4 };
enum { XSTATE_X87 = 1, XSTATE_SSE = 2 };

#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u

/* struct _fpx_sw_bytes */
struct extended_note {
	uint32_t magic, size_with_magic;
	uint64_t features;
	uint32_t size, pad[7];
};

/* The first bytes of the state: FXSAVE's, and the header that XSAVE adds. */
struct extended_state {
	uint16_t control, status;
	uint8_t tags, zero;
	uint16_t opcode;
	uint64_t ip, dp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t registers[FX_SIZE - 32 - sizeof(struct extended_note)];
	struct extended_note note;
	uint64_t present, header[7]; /* XSAVE_HEADER bytes */
};

struct mcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, oldmask, cr2;
	uint64_t state; /* address of the floating-point state; 0: none */
	uint64_t reserved[8];
};

struct ucontext {
	uint64_t flags, link;
	struct user_stack stack;
	struct mcontext mcontext;
	sigset mask;
};

struct frame {
	uint64_t restorer;
	struct ucontext context;
	uint8_t info[SIGINFO_SIZE];
};

_Static_assert(sizeof(struct mcontext) == 256 && sizeof(struct ucontext) == 304 &&
		       sizeof(struct frame) == 440 && offsetof(struct extended_state, note) == 464,
	       "as the ABI has it");

void signal_encode(const struct signal_info *info, uint8_t bytes[SIGINFO_SIZE])
{
	memset(bytes, 0, SIGINFO_SIZE);
	memcpy(bytes, &info->signo, 4);
	memcpy(bytes + 8, &info->code, 4);
	if (info->code > 0 && info->signo != SIGCHLD) {
		memcpy(bytes + 16, &info->address, 8);
		memcpy(bytes + 32, &info->key, 4);
		return;
	}
	memcpy(bytes + 16, &info->pid, 4);
	memcpy(bytes + 20, &info->uid, 4);
	if (info->signo == SIGCHLD && info->code > 0)
		memcpy(bytes + 24, &info->status, 4);
	else
		memcpy(bytes + 24, &info->value, 8);
}

static void save_registers(struct mcontext *to, const struct registers *regs,
			   const struct signal_info *info)
{
	*to = (struct mcontext){
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.r12 = regs->r12,
		.r13 = regs->r13,
		.r14 = regs->r14,
		.r15 = regs->r15,
		.rdi = regs->rdi,
		.rsi = regs->rsi,
		.rbp = regs->rbp,
		.rbx = regs->rbx,
		.rdx = regs->rdx,
		.rax = regs->rax,
		.rcx = regs->rcx,
		.rsp = regs->rsp,
		.rip = regs->rip,
		.rflags = regs->rflags,
		.cs = USER_CS,
		.ss = USER_SS,
		.error = info->error,
		.trap = info->trap,
		.cr2 = info->address,
	};
}

static void load_registers(struct registers *regs, const struct mcontext *from)
{
	*regs = (struct registers){
		.r8 = from->r8,
		.r9 = from->r9,
		.r10 = from->r10,
		.r11 = from->r11,
		.r12 = from->r12,
		.r13 = from->r13,
		.r14 = from->r14,
		.r15 = from->r15,
		.rdi = from->rdi,
		.rsi = from->rsi,
		.rbp = from->rbp,
		.rbx = from->rbx,
		.rdx = from->rdx,
		.rax = from->rax,
		.rcx = from->rcx,
		.rsp = from->rsp,
		.rip = from->rip,
		.cs = USER_CS,
		.ss = USER_SS,
		.error = UINT64_MAX,
		.rflags = (from->rflags & FLAGS_USER) | FLAG_INTERRUPT | FLAG_FIXED,
	};
}

/* Bytes that the state takes on the stack, the second magic word included. */
static uint64_t state_size(void)
{
	return cpu_features.xsave_size + 4ull;
}

/*
 * The CPU's state to the program's stack. x87 and SSE are marked as present: a handler may
 * change them there although they were in their initial state.
 */
static int save_state(uint64_t to)
{
	struct task *task = current_task();
	struct extended_state *state = task->extended;
	struct extended_note note = {
		.magic = MAGIC1,
		.size_with_magic = cpu_features.xsave_size + 4,
		.features = cpu_features.xsave_mask,
		.size = cpu_features.xsave_size,
	};
	uint64_t present;
	uint32_t end = MAGIC2;

	extended_save(state);
	present = state->present | XSTATE_X87 | XSTATE_SSE;
	if (user_write(to, state, cpu_features.xsave_size) ||
	    user_write(to + offsetof(struct extended_state, note), &note, sizeof(note)) ||
	    user_write(to + FX_SIZE, &present, sizeof(present)) ||
	    user_write(to + cpu_features.xsave_size, &end, sizeof(end)))
		return -EFAULT;
	return 0;
}

/* What the CPU would refuse to load goes. `present` is what there is beyond x87 and SSE. */
static void clean_state(struct extended_state *state, uint64_t present)
{
	const struct extended_state *own = current_task()->extended;

	/* FXSAVE says which bits there are; 0 stands for those of the first CPUs. */
	state->mxcsr &= own->mxcsr_mask ? own->mxcsr_mask : 0xffbf;
	memset(&state->note, 0, sizeof(state->note));
	memset(&state->present, 0, XSAVE_HEADER);
	state->present = present & cpu_features.xsave_mask;
}

/*
 * The state at `from` into `state`, which is all zero. One without the magic words is FXSAVE's 512
 * bytes.
 */
static int read_state(struct extended_state *state, uint64_t from)
{
	uint64_t present = XSTATE_X87 | XSTATE_SSE;
	struct extended_note note;
	uint32_t end = 0;

	if (user_read(state, from, FX_SIZE))
		return -EFAULT;
	note = state->note;
	if (note.magic == MAGIC1 && note.size >= FX_SIZE + XSAVE_HEADER &&
	    note.size <= cpu_features.xsave_size && note.size <= note.size_with_magic &&
	    user_read(&end, from + note.size, sizeof(end)))
		return -EFAULT;
	if (end == MAGIC2) {
		if (user_read(&state->present, from + FX_SIZE, note.size - FX_SIZE))
			return -EFAULT;
		present = state->present & note.features;
		if (note.size < cpu_features.xsave_size)
			present &= XSTATE_X87 | XSTATE_SSE;
	}
	clean_state(state, present);
	return 0;
}

/* Its own memory: the thread may sleep here, and its own area is where the scheduler saves. */
static int load_state(uint64_t from)
{
	struct task *task = current_task();
	size_t size = cpu_features.xsave_size;
	struct extended_state *state;
	int error;

	extended_save(task->extended);
	if (!from) {
		extended_reset(task->extended);
		extended_load(task->extended);
		return 0;
	}
	state = heap_zero(MAX(size, sizeof(*state)));
	if (!state)
		return -ENOMEM;
	error = read_state(state, from);
	if (error == 0) {
		memcpy(task->extended, state, size);
		extended_load(task->extended);
	}
	heap_free(state);
	return error;
}

uint64_t signal_frame_room(void)
{
	return RED_ZONE + state_size() + 63 + sizeof(struct frame) + 15 + 8;
}

/* Where the frame's bytes end: below the red zone, or on the alternate stack. */
static uint64_t frame_end(const struct task *task, const struct registers *regs,
			  const struct action *action)
{
	if (action->flags & SA_ONSTACK && task->altstack.size && !on_altstack(task, regs->rsp))
		return task->altstack.address + task->altstack.size;
	return regs->rsp - RED_ZONE;
}

/* A frame that begins on the alternate stack must not leave it. */
static bool frame_fits(const struct task *task, const struct registers *regs,
		       const struct action *action, uint64_t at)
{
	bool alternate = on_altstack(task, regs->rsp) ||
			 (action->flags & SA_ONSTACK && task->altstack.size);

	return !alternate ||
	       (at >= task->altstack.address && at - task->altstack.address < task->altstack.size);
}

/* => `frame` is where it will be; the registers are still the program's */
static void fill(struct frame *frame, const struct registers *regs, const struct signal_info *info,
		 const struct action *action)
{
	struct task *task = current_task();
	struct ucontext *context = &frame->context;

	memset(frame, 0, sizeof(*frame));
	frame->restorer = action->restorer;
	context->flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | UC_FP_XSTATE;
	altstack_get(task, regs->rsp, &context->stack);
	save_registers(&context->mcontext, regs, info);
	context->mask = task->restore_blocked ? task->saved_blocked : task->blocked;
	context->mcontext.oldmask = context->mask;
	signal_encode(info, frame->info);
}

int signal_frame(struct registers *regs, const struct signal_info *info,
		 const struct action *action)
{
	struct task *task = current_task();
	uint64_t state = (frame_end(task, regs, action) - state_size()) & ~63ull;
	uint64_t at = ((state - sizeof(struct frame)) & ~15ull) - 8;
	struct frame frame;

	if (!(action->flags & SA_RESTORER) || action->handler >= USER_LIMIT ||
	    !frame_fits(task, regs, action, at))
		return -EFAULT;
	fill(&frame, regs, info, action);
	frame.context.mcontext.state = state;
	if (save_state(state) || user_write(at, &frame, sizeof(frame)))
		return -EFAULT;
	if (task->altstack.flags & SS_AUTODISARM)
		memset(&task->altstack, 0, sizeof(task->altstack));
	regs->rdi = (uint64_t)info->signo;
	regs->rsi = at + offsetof(struct frame, info);
	regs->rdx = at + offsetof(struct frame, context);
	regs->rax = 0;
	regs->rsp = at;
	regs->rip = action->handler;
	regs->rflags &= ~(FLAG_DIRECTION | FLAG_TRAP | FLAG_RESUME);
	regs->error = UINT64_MAX;
	extended_reset(task->extended);
	extended_load(task->extended);
	return 0;
}

int64_t call_rt_sigreturn(struct registers *regs)
{
	struct signal_info bad = { .signo = SIGSEGV, .code = SI_KERNEL };
	struct ucontext context;

	/* `ret` has taken the restorer's address. */
	if (user_read(&context, regs->rsp, sizeof(context)) || context.mcontext.rip >= USER_LIMIT ||
	    load_state(context.mcontext.state)) {
		signal_force(&bad);
		return 0;
	}
	load_registers(regs, &context.mcontext);
	signal_block(context.mask);
	altstack_set(current_task(), regs->rsp, &context.stack);
	return (int64_t)regs->rax;
}
