/* SPDX-License-Identifier: MIT */
/* Files of a POSIX system as objects, for hosted use. */
#ifndef QUIRE_POSIX_H
#define QUIRE_POSIX_H

#include <quire/object.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/*
 * The regular file behind `fd`, which is duplicated; writable as far as fd is. Its name, device and
 * inode are the object's. Returns 0, -QUIRE_EBADF, -QUIRE_EACCES (not open for reading),
 * -QUIRE_ENODEV (not a regular file), -QUIRE_EINVAL (open with O_APPEND or O_DIRECT),
 * -QUIRE_ENOMEM, or an error of fstat(2) or dup(2). The size is that of now: when others change the
 * file, the object does not learn of it. May sleep.
 */
int quire_posix_file(int fd, struct quire_object **out);
/* As above, opened read-only, or (writable) for both. Also the errors of open(2). */
int quire_posix_open(const char *path, bool writable, struct quire_object **out);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
