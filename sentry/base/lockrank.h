/* Every lock class of the sentry, outermost first. A thread may take a lock only if its class
 * stands strictly below every class it holds (LR_SAME classes may nest among themselves in the
 * order their comment says). This list *is* the lock order document; lock.c checks it in every
 * non-release build.
 *
 * (copy) = may be held over a copy to or from guest memory. (host) = may be held over a blocking
 * host call or a gofer request. Everything else must be dropped first. */
#pragma once

/* clang-format off */
#define LOCKRANKS(X) \
    X(LR_CONTROL)      /* control server's list of clients */ \
    X(LR_EXEC)         /* process.exec_lock: execve, ptrace attach, credentials (copy)(host) */ \
    X(LR_FILE_POS)     /* file.pos_lock: read, write, lseek, readdir at the position (copy)(host) */ \
    X(LR_EPOLL)        /* epoll instance: interest list; nests parent before child */ \
    X(LR_MOUNT)        /* mount tree (host) */ \
    X(LR_RENAME)       /* superblock.rename_lock: one directory rename at a time (host) */ \
    X(LR_DIR)          /* inode.dir_lock; ancestor before descendant, then by address (host) */ \
    X(LR_INODE_UPPER)  /* inode.lock of an overlay's inode, outside those it stands on (host) */ \
    X(LR_INODE)        /* inode.lock: attributes, size, writes of regular files; an overlay's before \
                          that of what it stands on, else by address (copy)(host) */ \
    X(LR_SOCKET_IO)    /* one receiver of a socket at a time (copy) */ \
    X(LR_SOCKET)       /* links between sockets, their queues and names */ \
    X(LR_PIPE)         /* pipe buffers; two by address (copy) */ \
    X(LR_TTY)          /* terminal and its line discipline */ \
    X(LR_IPC)          /* SysV and POSIX ipc tables and objects */ \
    X(LR_CLOCK)        /* the wall clock's setting and who watches it: timerfds, POSIX timers */ \
    X(LR_TIMERFD)      /* timerfd: arms its timer under it */ \
    X(LR_FUTEX)        /* futex hash bucket; two by address (copy) */ \
    X(LR_MM)           /* mm.lock, read-held over guest copies and regular-file host I/O; \
                          nests parent before child in fork (copy)(host) */ \
    X(LR_MAPPING)      /* mappable: its list of VMAs, page index of tmpfs files (host) */ \
    X(LR_FILE_LOCKS)   /* POSIX, OFD and flock tables of an inode */ \
    X(LR_FLOCK_GRAPH)  /* deadlock search of POSIX locks */ \
    X(LR_DCACHE)       /* dentry tree, names and parents, LRU */ \
    X(LR_TASKS)        /* kernel.tasks_lock: task tree, process groups, sessions, pid table */ \
    X(LR_SIGHAND)      /* process.sig_lock: pending queues, actions, stop and exit state */ \
    X(LR_TIMER)        /* timer queue */ \
    X(LR_FDTABLE)      /* fdtable slots */ \
    X(LR_FS_STRUCT)    /* cwd, root, umask of a task */ \
    X(LR_FILE)         /* file.lock: flags, async owner */ \
    X(LR_INOTIFY)      /* inotify queues */ \
    X(LR_WAITQ)        /* waitq.lock */ \
    X(LR_EPOLL_WAITQ)  /* the waitq of an epoll instance; nests child before parent */ \
    X(LR_EPOLL_READY)  /* epoll ready lists, taken from wake callbacks, dropped before LR_EPOLL_WAITQ */ \
    X(LR_TASK)         /* task.lock: small per-task state */ \
    X(LR_CRED)         /* cred pointer swap */ \
    X(LR_WINDOW)       /* window of donated files (host) */ \
    X(LR_MEMFILE)      /* memory file allocator (host) */ \
    X(LR_GOFER)        /* gofer connection (host) */ \
    X(LR_POLLER)       /* host descriptor poller */ \
    X(LR_KEYS)         /* keys and keyrings, all of them */ \
    X(LR_TRACE)        /* strace output */ \
    X(LR_LEAF)         /* private leaf locks that take nothing below */
/* clang-format on */

enum lockrank {
    LR_NONE,
#define X(name) name,
    LOCKRANKS(X)
#undef X
        LR_COUNT,
};
