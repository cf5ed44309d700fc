/* Where things lie in the stub region, the top of every stub process's address space, and the words
 * that sentry and stub text exchange there. Included by C and by stub.S: only macros.
 *
 *   TEXT  the blob of stub.S and the filter programs; read-execute, one sealed file for all stubs
 *   ZCTL  the zygote's orders; writable, exists only in the zygote, which runs no guest code
 *   CTL   this stub's orders; read-only in the stub, so whatever is read from it is the sentry's
 *   SLOTS writable by the stub and therefore by the guest: one slot per thread, its signal stack.
 *         Whatever the sentry reads from it is hostile. Slot 0 is no thread's: see SLOT_READY. */
#pragma once

#define STUB_VA      0x7fffe0000000 /* also struct platform's va_end */
#define STUB_TOP     0x7ffffffff000
#define STUB_VA_HIGH 0x7fff
#define STUB_TEXT    STUB_VA
#define STUB_PROGS   0x7fffe0002000 /* filter programs, in the text file */
#define STUB_TEXTLEN 0x10000
#define STUB_ZCTL    0x7fffe0020000
#define STUB_CTL     0x7fffe0040000
#define STUB_CTLLEN  0x10000
#define STUB_SLOTS   0x7fffe1000000
#define STUB_BLOCK   0x1000000 /* bytes of the stub file that belong to one stub: CTL, then SLOTS */
#define STUB_SLOTLEN                                                                               \
    0x10000 /* slots mapped at the start; the mapper adds more when there are threads */

/* The three filter programs (struct sock_fprog) and a zero signal mask, at STUB_PROGS. */
#define PROG_BASE   (STUB_PROGS + 0)
#define PROG_MAPPER (STUB_PROGS + 16)
#define PROG_GUEST  (STUB_PROGS + 32)
#define PROG_CLOSE  (STUB_PROGS + 48)
#define PROG_MASK   (STUB_PROGS + 64)

/* Words of ZCTL. */
#define ZCTL_SEQ     0  /* u32, futex: raised by the sentry for each order */
#define ZCTL_DONE    4  /* u32, futex: the order that has been carried out */
#define ZCTL_RESULT  8  /* s64: pid, or negative errno */
#define ZCTL_FD      16 /* u32: the stub file */
#define ZCTL_PPID    20 /* u32: the sentry */
#define ZCTL_BLOCK   24 /* u64: offset of the new stub's block in the stub file */
#define ZCTL_TARGET1 32 /* s32: where the new mapper puts its listener, or negative errno */
#define ZCTL_TARGET2 36 /* s32: the same for the first thread */

/* Words of CTL. */
#define CTL_SPAWN_SEQ 0 /* u32, futex: raised for each thread to start */
#define CTL_SPAWN_TARGET                                                                           \
    4 /* u32: descriptor number that becomes the new thread's listener; not the first's */
#define CTL_SPAWN_STACK 8    /* stack_t (24 bytes) of the new thread */
#define CTL_SPAWN_SLOT  32   /* u64: address of its slot */
#define CTL_BATCH       4096 /* entries of 64 bytes: number and six arguments of a host call */
#define BATCH_ENTRY     64
#define BATCH_MAX       ((STUB_CTLLEN - CTL_BATCH) / BATCH_ENTRY)

/* Head of a slot; the signal stack is the rest. */
#define SLOT_READY                                                                                 \
    0 /* s32, futex: 1 = listener in place, negative = errno. A hint, never trusted. */
#define SLOT_HEAD 64

/* Parked calls: exit(2) by number, always notified; the sentry answers with a value, or lets the
 * call through and so ends the thread. First argument: a signal number, or one of these. */
#define PARK_READY  0x100 /* a new thread: (PARK_READY, tid) */
/* The mapper: (PARK_MAPPER, -errno or 0, index of the failed entry, last result). */
#define PARK_MAPPER 0x101

/* What the sentry answers to a parked handler. */
#define RESUME_FS       1 /* load fs base from the frame */
#define RESUME_GS       2
#define RESUME_SELECTOR 4 /* zero the data segment registers first: the stub has a new guest */

/* Offsets in the signal frame, from its start (the handler's stack pointer). The siginfo is not
 * used on the way back, so it carries the bases. */
#define FRAME_FS 328
#define FRAME_GS 336

/* Who may make a host call of the stub text. */
#define CALL_ZYGOTE 1  /* base filter only */
#define CALL_SETUP  2  /* also by a guest thread until its last filter is loaded */
#define CALL_RETURN 4  /* by a guest thread, always */
#define CALL_MAPPER 8  /* by the mapper */
#define CALL_PARK   16 /* never allowed: notified */

#define STUB_SIGNAL 10 /* SIGUSR1, the interrupt */
