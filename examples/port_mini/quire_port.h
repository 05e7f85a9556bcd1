/* SPDX-License-Identifier: MIT */
/* The smallest port: one CPU, memory from malloc, tables that only software walks. */
#ifndef MINI_QUIRE_PORT_H
#define MINI_QUIRE_PORT_H

#include <string.h>

#define PORT_SPECULATION 1
#define PORT_HAS_KEYS 0
#define PORT_MAX_LEVELS 4
#define PTE_NONE 0ull

/* Bits: 0 mapped, 1-3 rights, 4 accessed, 5 dirty, 6 huge, 7 table, 8 busy, 12-51 frame, cookie. */
#define MINI_BIT(e, n) ((unsigned)((e) >> (n)) & 1u)

struct port_space {
	uint64_t root_pfn;
	unsigned levels;
};

extern unsigned char *mini_memory; /* frame 0 */

/* clang-format off */
static inline unsigned port_cpu(void) { return 0; }
static inline unsigned port_cpu_node(unsigned cpu) { return cpu; }
static inline void port_pin(void) {}
static inline void port_unpin(void) {}

static inline void *port_frame(uint64_t pfn) { return mini_memory + (pfn << 12); }
static inline uint64_t port_frame_number(const void *p)
{
	return (uint64_t)((const unsigned char *)p - mini_memory) >> 12;
}
static inline void port_clear_page(void *page) { memset(page, 0, 4096); }
static inline void port_copy_page(void *to, const void *from) { memcpy(to, from, 4096); }

static inline pte pte_make(uint64_t pfn, unsigned rights, unsigned key)
{
	(void)key;
	return pfn << 12 | (pte)rights << 1 | 1u;
}
static inline uint64_t pte_pfn(pte e) { return e << 12 >> 24; }
static inline unsigned pte_rights(pte e) { return (unsigned)(e >> 1) & 7u; }
static inline unsigned pte_key(pte e) { (void)e; return 0; }
static inline pte pte_accessed(pte e) { return e | 1u << 4; }
static inline pte pte_dirty(pte e) { return e | 1u << 5; }
static inline pte pte_table(uint64_t pfn) { return pfn << 12 | 1u << 7; }
static inline pte pte_special(pte e) { return e | 1u << 9; }
static inline pte pte_busy(uint64_t cookie) { return cookie << 12 | 1u << 8; }
static inline bool pte_is_mapped(pte e) { return MINI_BIT(e, 0); }
static inline bool pte_is_accessed(pte e) { return MINI_BIT(e, 4); }
static inline bool pte_is_dirty(pte e) { return MINI_BIT(e, 5); }
static inline bool pte_is_huge(pte e) { return MINI_BIT(e, 6); }
static inline bool pte_is_table(pte e) { return MINI_BIT(e, 7); }
static inline bool pte_is_busy(pte e) { return MINI_BIT(e, 8); }
static inline bool pte_is_special(pte e) { return MINI_BIT(e, 9); }
static inline uint32_t port_away(void) { return 0; }
static inline void port_back(uint32_t depth) { (void)depth; }
/* clang-format on */

int port_space_init(struct port_space *space, uint64_t root_pfn, unsigned levels);
void port_space_exit(struct port_space *space);
void port_flush(struct port_space *space, uint64_t start, uint64_t end, bool tables);
bool port_key_allows(unsigned key, bool write);
void port_wait(_Atomic uint32_t *word, uint32_t seen);
void port_wake(_Atomic uint32_t *word);
void port_pause(unsigned turn);
uint64_t port_clock(void);
_Noreturn void port_panic(const char *file, int line, const char *what);

#endif
