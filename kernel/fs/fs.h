/* SPDX-License-Identifier: MIT */
/*
 * Files: one tree in memory, whose regular files are objects of Quire (quire_shared_create), so
 * that read, write and mmap see the same pages; pipes, the console, event files; /proc, /dev.
 *
 *     files (fd table) ──► file (open description) ──► inode ──► quire_object, children, link
 *
 * Locks, in this order: fs_lock (a mutex) guards the tree: names, children, link counts; a file's
 * position has a mutex of its own; an inode's write_mutex orders writers and size. A reader needs
 * none. Inside these the mutexes that one source file has for itself (epoll.c, locks.c, fifo.c).
 * files.lock (plain) guards the table of descriptors.
 */
#ifndef KERNEL_FS_H
#define KERNEL_FS_H

#include "lib/errno.h"
#include "lib/lock.h"
#include "lib/print.h"
#include "task/wait.h"

#include <quire/object.h>

enum {
	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFLNK = 0120000,
	S_IFREG = 0100000,
	S_IFBLK = 0060000,
	S_IFDIR = 0040000,
	S_IFCHR = 0020000,
	S_IFIFO = 0010000,
};
enum {
	O_ACCMODE = 3,
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_DIRECT = 040000,
	O_ASYNC = 020000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_SYNC = 04010000,
	O_PATH = 010000000,
	O_TMPFILE = 020200000,
};
enum {
	POLLIN = 1,
	POLLPRI = 2,
	POLLOUT = 4,
	POLLERR = 8,
	POLLHUP = 16,
	POLLNVAL = 32,
	POLLRDNORM = 0x40,
	POLLWRNORM = 0x100,
	POLLIN_NORMAL = POLLIN | POLLRDNORM,
	POLLOUT_NORMAL = POLLOUT | POLLWRNORM,
};
enum { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100u
#define AT_EACCESS 0x200u   /* of faccessat2(2) */
#define AT_REMOVEDIR 0x200u /* of unlinkat(2) */
#define AT_SYMLINK_FOLLOW 0x400u
#define AT_NO_AUTOMOUNT 0x800u
#define AT_EMPTY_PATH 0x1000u
#define PATH_ROOM 4096
#define OPEN_MAX 65536 /* descriptors of a process, whatever its limit */

struct entry;
struct dynamic_ops;

/*
 * What a name stands for. Type, number, device, ops, print are constant; the other fields belong to
 * fs_lock, unless it says otherwise.
 */
struct inode {
	_Atomic uint32_t references; /* of files, of directory entries (one each), of lookups */
	uint32_t mode, links, owner, group;
	uint64_t number;
	uint64_t device; /* rdev: what a device node is: see fs/device.c */
	_Atomic uint64_t accessed, modified, changed; /* nanoseconds since 1970; relaxed, no lock */
	struct quire_object *object;		      /* regular files; constant */
	struct mutex write_mutex; /* regular files: one writer at a time, its size with it */
	uint32_t seals;		  /* regular files: write_mutex */
	/* Opens for writing; or, below 0, spaces that run it: never both (ETXTBSY). */
	_Atomic int32_t writing;
	struct list entries;	    /* directories: of struct entry, in the order they were made */
	uint64_t next_cookie;	    /* directories: of the next entry */
	struct inode *parent;	    /* directories: counted */
	struct entry *entry;	    /* directories: their name; NULL: none (the root, or removed) */
	char *link;		    /* symbolic links; constant */
	struct inode *target;	    /* links of /proc that lead to it, whatever the text; counted */
	const struct file_ops *ops; /* of files opened on it; devices, fifos and /proc differ */
	const struct dynamic_ops *dynamic; /* directories of /proc: names that are not entries */
	/* /proc: makes the contents at open. */
	int (*print)(struct inode *inode, struct text *out);
	void (*free)(struct inode *inode); /* of private_data; NULL: nothing */
	void *private_data;
	struct list locks; /* record locks: fs/locks.c */
};

struct file {
	_Atomic uint32_t references;
	uint32_t flags;	     /* O_* as given, without those of open alone; F_SETFL changes */
	struct inode *inode; /* never NULL: event files share one */
	const struct file_ops *ops;
	struct mutex position_mutex;
	uint64_t position;
	void *private_data;
	char *path;	     /* heap: for /proc/self/fd and maps; as it was at open. NULL: none */
	struct list watches; /* of epolls: fs/epoll.c */
	bool writing;	     /* it counts in inode->writing */
};

/*
 * Buffers of read and write are kernel memory. All may sleep; results as of the system calls,
 * negative errors. NULL: EINVAL, or what is said.
 */
struct file_ops {
	/* A file of this inode was opened; an error: it is not, and release is not called. NULL: 0.
	 */
	int (*open)(struct file *file);
	int64_t (*read)(struct file *file, void *buffer, size_t size, uint64_t *position);
	int64_t (*write)(struct file *file, const void *buffer, size_t size, uint64_t *position);
	/* NULL: ESPIPE */
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	/*
	 * POLL* that hold now; NULL: always readable and writable, reads and writes don't wait.
	 * Must not sleep, nor take a mutex.
	 */
	unsigned (*poll)(struct file *file);
	/* The queue that is woken when poll's answer may have changed; NULL: never changes. */
	struct wait_queue *(*queue)(struct file *file);
	int64_t (*ioctl)(struct file *file, unsigned command, uint64_t argument); /* NULL: ENOTTY */
	/* With a reference for the caller; NULL: ENODEV. */
	int (*object)(struct file *file, struct quire_object **object);
	/* The last reference is gone. */
	void (*release)(struct file *file);
};

struct files;	   /* a table of descriptors: fs/files.c */
struct fs_context; /* working directory and umask: fs/context.c */

void fs_init(void); /* an empty root, /dev, /proc, /tmp */
/* Unpacks a cpio archive ("newc"). Returns 0, -EINVAL (malformed: says where), -ENOMEM. */
int fs_unpack(const void *archive, size_t size);

/* --- descriptors --- */
struct files *files_create(void);
struct files *files_copy(struct files *from);
void files_get(struct files *files);
void files_put(struct files *files);
bool files_shared(struct files *files); /* with another process */
void files_exec(struct files *files);	/* closes those with CLOEXEC */
/* Of the current process, with a reference; NULL: EBADF. */
struct file *file_get(int descriptor);
void file_hold(struct file *file);
void file_put(struct file *file);
/* The lowest free one >= from; takes over the caller's reference if it succeeds. -EMFILE, -ENOMEM.
 */
int file_install(struct file *file, int from, bool close_on_exec);
struct file *file_create(const struct file_ops *ops, uint32_t flags, void *private_data);
/* QUIRE_PROT_* that a mapping of the file may have: for quire_mmap_object's max_prot. */
int file_protection(const struct file *file);

/* --- paths and contexts --- */
struct fs_context *fs_context_create(void); /* / and 022 */
struct fs_context *fs_context_copy(struct fs_context *from);
void fs_context_get(struct fs_context *context);
void fs_context_put(struct fs_context *context);
/* As open(2), by the kernel: relative to the current process's directory. *file gets a reference.
 */
int fs_open(const char *path, uint32_t flags, uint32_t mode, struct file **file);
/* Reads from a regular file. Bytes read, or an error: -EINVAL if it is another kind. */
int64_t file_read_at(struct file *file, void *buffer, size_t size, uint64_t offset);
/*
 * With a reference for the caller: nobody opens it for writing until file_allow_write. -ETXTBSY:
 * somebody has.
 */
int file_deny_write(struct file *file);
void file_allow_write(struct file *file);
/* 0 if it is a regular file with an x bit; else -EACCES. */
int file_executable(const struct file *file);

/* Standard input, output, error on the console: for the first process. */
int files_open_console(struct files *files);

/* --- /proc files that other parts print: registered once at boot --- */
void proc_add(const char *path, int (*printer)(struct inode *inode, struct text *out));

#endif
