/* SPDX-License-Identifier: MIT */
/* Errors of the Linux ABI (errno(3)); the kernel's functions return their negative. */
#ifndef KERNEL_ERRNO_H
#define KERNEL_ERRNO_H

enum {
	EPERM = 1,
	ENOENT = 2,
	ESRCH = 3,
	EINTR = 4,
	EIO = 5,
	ENXIO = 6,
	E2BIG = 7,
	ENOEXEC = 8,
	EBADF = 9,
	ECHILD = 10,
	EAGAIN = 11,
	ENOMEM = 12,
	EACCES = 13,
	EFAULT = 14,
	EBUSY = 16,
	EEXIST = 17,
	EXDEV = 18,
	ENODEV = 19,
	ENOTDIR = 20,
	EISDIR = 21,
	EINVAL = 22,
	ENFILE = 23,
	EMFILE = 24,
	ENOTTY = 25,
	ETXTBSY = 26,
	EFBIG = 27,
	ENOSPC = 28,
	ESPIPE = 29,
	EROFS = 30,
	EMLINK = 31,
	EPIPE = 32,
	ERANGE = 34,
	EDEADLK = 35,
	ENAMETOOLONG = 36,
	ENOSYS = 38,
	ENOTEMPTY = 39,
	ELOOP = 40,
	EOVERFLOW = 75,
	ENOTSOCK = 88,
	ENOPROTOOPT = 92,
	EOPNOTSUPP = 95,
	EAFNOSUPPORT = 97,
	ETIMEDOUT = 110,
	/*
	 * A call was interrupted by a signal: never seen by programs. RESTART: it starts again if
	 * the handler says SA_RESTART or there is none, else EINTR. RESTART_NOHAND: it starts again
	 * only if no handler ran (sleeps, poll, pause, sigsuspend).
	 */
	ERESTART = 512,
	ERESTART_NOHAND = 514,
};

#endif
