/* Small things that the file system call handlers share. */
#pragma once

#include "fs/vfs.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <stdlib.h>

static inline void sys_str_free(char **s)
{
    free(*s);
}
static inline void sys_file_free(struct file **f)
{
    if (*f)
        file_put(*f);
}
static inline void sys_path_free(struct path *p)
{
    path_put(p);
}
/* Released at the end of the block. */
#define SYS_STR  __attribute__((cleanup(sys_str_free))) char *
#define SYS_FILE __attribute__((cleanup(sys_file_free))) struct file *
#define SYS_PATH __attribute__((cleanup(sys_path_free))) struct path

/* The path of a system call that names an existing file: imported and walked. AT_EMPTY_PATH with an
 * empty string means dirfd itself, whatever kind of file that is: then *f is set (counted) and *p is
 * its path, which is empty for files without a name. */
int sys_path_at(struct task *t, int dirfd, struct uaddr ua, bool empty_ok, unsigned walk,
                struct path *p, struct file **f);
/* The same for a name that has been imported. */
int sys_name_at(struct task *t, int dirfd, const char *name, bool empty_ok, unsigned walk,
                struct path *p, struct file **f);
/* copy_struct_from_user: a struct that may be shorter or longer than ours (known bytes, at least min);
 * what lies beyond must be zero. -EINVAL, -E2BIG, -EFAULT. */
int sys_struct_import(struct task *t, struct uaddr ua, uint64_t size, void *out, size_t known,
                      size_t min);
/* The inode that sys_path_at found; borrowed. */
static inline struct inode *sys_inode(const struct path *p, struct file *f)
{
    return f ? f->inode : p->dentry->inode;
}
