/* SPDX-License-Identifier: MIT */
/* One CPU: what it can, its control registers, its descriptor tables. */
#include "arch/entry.h"
#include "arch/panic.h"
#include "arch/setup.h"
#include "lib/string.h"
#include "task/task.h"

#define EFER 0xc0000080
#define EFER_SYSCALL 0x001ull
#define EFER_NX 0x800ull
#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define SYSCALL_MASK 0xc0000084
#define FS_BASE 0xc0000100
#define KERNEL_GS_BASE 0xc0000102

/* Write protect, alignment mask, native x87 errors, paging; caches on, nothing emulated. */
#define CR0 0x80050033ull
#define CR4_MCE (1ull << 6)
#define CR4_PAE (1ull << 5)
#define CR4_PGE (1ull << 7)
#define CR4_FXSR (1ull << 9)
#define CR4_XMM (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_LA57 (1ull << 12)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_XSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)

/* Components of the extended state: x87, SSE, AVX, the three of AVX-512, PKRU. */
#define STATE_LEGACY 0x003ull
#define STATE_AVX 0x004ull
#define STATE_AVX512 0x0e0ull
#define STATE_PKRU 0x200ull

#define DESCRIPTORS 7 /* null, kernel code and data, user data and code, the TSS's two */
#define VECTORS 256
#define VECTOR_SIZE 16 /* bytes of a stub in entry.S */

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

extern const uint8_t entry_vectors[]; /* entry.S: a stub for each vector */
extern const uint8_t entry_system_call[];
extern const uint32_t smap_start[], smap_end[];

struct cpu cpus[MAX_CPUS];
unsigned cpu_count;
struct cpu_features cpu_features;

static struct gate gates[VECTORS];

/* What entry.S must know of the layout of structures: absolute symbols. */
__attribute__((used)) static void offsets(void)
{
#define OFFSET(name, type, field)                                                                  \
	__asm__(".globl " #name "\n.set " #name ", %c0" ::"i"(offsetof(struct type, field)))
	OFFSET(CPU_KERNEL_STACK, cpu, kernel_stack);
	OFFSET(CPU_USER_STACK, cpu, user_stack);
	OFFSET(CPU_CURRENT, cpu, current);
	OFFSET(CPU_NEED_SWITCH, cpu, need_switch);
	OFFSET(TASK_WORK, task, work);
	OFFSET(REGS_RCX, registers, rcx);
	OFFSET(REGS_R11, registers, r11);
	OFFSET(REGS_RIP, registers, rip);
	OFFSET(REGS_CS, registers, cs);
	OFFSET(REGS_RFLAGS, registers, rflags);
#undef OFFSET
}

static struct cpuid cpuid(uint32_t leaf, uint32_t part)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(part));
	return r;
}

static uint64_t cr4_read(void)
{
	uint64_t v;

	__asm__ volatile("movq %%cr4, %0" : "=r"(v));
	return v;
}

static bool bit(uint32_t word, unsigned n)
{
	return word >> n & 1;
}

static uint64_t state_mask(bool avx, bool pku)
{
	struct cpuid state = cpuid(0xd, 0);
	uint64_t mask = STATE_LEGACY;

	if (avx)
		mask |= STATE_AVX;
	if (avx && (state.eax & STATE_AVX512) == STATE_AVX512)
		mask |= STATE_AVX512;
	if (pku)
		mask |= STATE_PKRU;
	return mask & (state.eax | (uint64_t)state.edx << 32);
}

static struct cpu_features features(void)
{
	struct cpuid base = cpuid(0, 0), one = cpuid(1, 0), seven = { 0 };
	struct cpuid extended = cpuid(0x80000001, 0);
	struct cpu_features f;

	memset(&f, 0, sizeof(f)); /* what lies between the fields is compared, too */
	f.la57 = (cr4_read() & CR4_LA57) != 0;
	f.hwcap = one.edx;
	if (base.eax >= 7)
		seven = cpuid(7, 0);
	memcpy(f.vendor, &base.ebx, 4);
	memcpy(f.vendor + 4, &base.edx, 4);
	memcpy(f.vendor + 8, &base.ecx, 4);
	f.pge = bit(one.edx, 13);
	f.xsave = bit(one.ecx, 26) && base.eax >= 0xd;
	f.nx = bit(extended.edx, 20);
	f.gib_pages = bit(extended.edx, 26);
	f.fsgsbase = bit(seven.ebx, 0);
	f.smep = bit(seven.ebx, 7);
	f.smap = bit(seven.ebx, 20);
	f.umip = bit(seven.ecx, 2);
	/* A task's key rights travel with its extended state. */
	f.pku = f.xsave && bit(seven.ecx, 3);
	f.hwcap2 = f.fsgsbase ? 2 : 0;
	if (f.xsave)
		f.xsave_mask = state_mask(bit(one.ecx, 28), f.pku);
	return f;
}

void cpu_detect(void)
{
	static const uint8_t nothing[3] = { 0x0f, 0x1f, 0x00 };

	cpu_features = features();
	if (!cpu_features.nx || !cpu_features.xsave)
		panic("this CPU lacks %s", cpu_features.nx ? "XSAVE" : "NX");
	/* The boot tables let text be written. */
	for (const uint32_t *at = smap_start; at < smap_end && !cpu_features.smap; at++)
		memcpy((void *)(KERNEL_BASE + *at), nothing, sizeof(nothing));
}

static void set_control_registers(void)
{
	const struct cpu_features *f = &cpu_features;
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_FXSR | CR4_XMM | CR4_XSAVE;

	cr4 |= f->la57 ? CR4_LA57 : 0;
	cr4 |= f->pge ? CR4_PGE : 0;
	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	cr4 |= f->pku ? CR4_PKE : 0;
	msr_write(EFER, msr_read(EFER) | EFER_SYSCALL | EFER_NX);
	__asm__ volatile("movq %0, %%cr0" ::"r"(CR0) : "memory");
	__asm__ volatile("movq %0, %%cr3" ::"r"(kernel_root) : "memory");
	__asm__ volatile("movq %0, %%cr4" ::"r"(cr4) : "memory");
	__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)f->xsave_mask),
			 "d"((uint32_t)(f->xsave_mask >> 32)));
	__asm__ volatile("fninit");
}

static void set_segments(struct cpu *cpu)
{
	uint64_t tss = (uint64_t)&cpu->tss;
	struct table_pointer pointer = { DESCRIPTORS * 8 - 1, (uint64_t)cpu->gdt };

	cpu->gdt[KERNEL_CS / 8] = 0x00af9b000000ffff;
	cpu->gdt[KERNEL_SS / 8] = 0x00cf93000000ffff;
	cpu->gdt[USER_SS / 8] = 0x00cff3000000ffff;
	cpu->gdt[USER_CS / 8] = 0x00affb000000ffff;
	cpu->gdt[5] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
		      (tss >> 24 & 0xff) << 56;
	cpu->gdt[6] = tss >> 32;
	cpu->tss.io_map = sizeof(struct tss); /* no port for anybody */
	/* A far return loads CS; the data segments are empty but for the stack's. */
	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmovl %2, %%ss\n\t"
			 "movl %3, %%ds\n\t"
			 "movl %3, %%es\n\t"
			 "movl %3, %%fs\n\t"
			 "movl %3, %%gs\n\t"
			 "lldt %w3\n\t"
			 "ltr %w4"
			 :
			 : "m"(pointer), "i"(KERNEL_CS), "r"(KERNEL_SS), "r"(0), "r"(5 * 8)
			 : "rax", "memory");
}

static void set_gates(void)
{
	struct table_pointer pointer = { sizeof(gates) - 1, (uint64_t)gates };

	for (unsigned i = 0; i < VECTORS; i++) {
		uint64_t at = (uint64_t)entry_vectors + i * VECTOR_SIZE;
		bool user = i == EXCEPTION_BREAKPOINT || i == EXCEPTION_OVERFLOW;

		gates[i] = (struct gate){ .offset_low = (uint16_t)at,
					  .selector = KERNEL_CS,
					  .type = user ? 0xee : 0x8e, /* interrupts are disabled */
					  .offset_middle = (uint16_t)(at >> 16),
					  .offset_high = (uint32_t)(at >> 32) };
	}
	gates[EXCEPTION_DOUBLE_FAULT].stack = 1;
	gates[EXCEPTION_NMI].stack = 2;
	gates[EXCEPTION_MACHINE_CHECK].stack = 3;
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

static void set_system_calls(struct cpu *cpu)
{
	uint64_t mask = FLAG_TRAP | FLAG_INTERRUPT | FLAG_DIRECTION | FLAG_ALIGN;

	msr_write(MSR_GS_BASE, (uint64_t)cpu);
	msr_write(KERNEL_GS_BASE, 0);
	/* sysret takes SS from 8 above this and CS from 16 above. */
	msr_write(STAR, (uint64_t)(USER_SS - 8) << 48 | (uint64_t)KERNEL_CS << 32);
	msr_write(LSTAR, (uint64_t)entry_system_call);
	msr_write(SYSCALL_MASK, mask | 0x7000); /* I/O privilege, nested task */
}

/* entry.S finds the CPU above the frame of such an interrupt: GS may be anybody's then. */
void cpu_set_stacks(struct cpu *cpu, uint8_t *memory)
{
	for (unsigned i = 0; i < 3; i++) {
		uint64_t *top = (void *)(memory + (i + 1) * (CPU_STACKS / 4) - 16);

		*top = (uint64_t)cpu;
		cpu->tss.ist[i] = (uint64_t)top;
	}
}

void cpu_setup(struct cpu *cpu, unsigned index)
{
	struct cpu_features mine = features();

	if (memcmp(&mine, &cpu_features, offsetof(struct cpu_features, xsave_size)) != 0 ||
	    mine.xsave_mask != cpu_features.xsave_mask)
		panic("CPU %u differs from the first", index);
	cpu->self = cpu;
	cpu->index = index;
	/* First what reports an exception, should the rest raise one. */
	set_segments(cpu);
	set_gates();
	set_system_calls(cpu);
	set_control_registers();
	cpu_features.xsave_size = cpuid(0xd, 0).ebx;
}

void cpu_set_fs(uint64_t base)
{
	if (cpu_features.fsgsbase)
		__asm__ volatile("wrfsbase %0" ::"r"(base));
	else
		msr_write(FS_BASE, base);
}

uint64_t cpu_get_fs(void)
{
	uint64_t base;

	if (!cpu_features.fsgsbase)
		return msr_read(FS_BASE);
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

void cpu_set_user_gs(uint64_t base)
{
	msr_write(KERNEL_GS_BASE, base);
}

uint64_t cpu_get_user_gs(void)
{
	return msr_read(KERNEL_GS_BASE);
}
