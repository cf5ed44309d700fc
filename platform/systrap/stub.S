/* All code that runs in a stub process outside of the guest. It has no stack and trusts no memory but
 * the read-only CTL page and its own registers. Every host call it makes is listed, by address, in
 * rf_stub_calls, from which filter.c makes the filters; see README.md for the reason of each.
 *
 * Registers that live across calls (SYSCALL clobbers rax, rcx and r11 only):
 *   rbx ZCTL, then CTL    rbp offset of the block    r12 last order seen    r13 stub file, or the slot
 *   r14 mapper's target; tid; pointer into the batch    r15 thread's target; listener; last result
 * A target is a descriptor number reserved for a listener, which is moved there with dup3. */
#include <asm/unistd_64.h>

#include "stub_layout.h"

    .section .rodata.stubcalls, "a"
    .balign 4
    .globl rf_stub_calls
rf_stub_calls:
    .section .rodata.stub, "a"
    .balign 4096
    .globl rf_stub_start
rf_stub_start:

.macro SITE nr, who
    .pushsection .rodata.stubcalls
    .long 9b - rf_stub_start, \nr, \who
    .popsection
.endm

.macro CALL nr, who
    mov $\nr, %eax
    syscall
9:
    SITE \nr, \who
.endm

/* --- before the base filter: empty the address space ------------------------------------------ */
/* rf_stub_boot(rdi = text fd, rsi = stub fd): entered in a copy of the text that lies below STUB_VA */
    .globl rf_stub_boot
rf_stub_boot:
    mov %edi, %r12d
    mov %esi, %r13d
    mov $__NR_munmap, %eax
    movabs $STUB_VA, %rdi
    movabs $(STUB_TOP - STUB_VA), %rsi
    syscall
    mov $__NR_mmap, %eax
    movabs $STUB_TEXT, %rdi
    mov $STUB_TEXTLEN, %esi
    mov $5, %edx  /* PROT_READ | PROT_EXEC */
    mov $0x11, %r10d /* MAP_SHARED | MAP_FIXED */
    mov %r12d, %r8d
    xor %r9d, %r9d
    syscall
    mov $__NR_mmap, %eax
    movabs $STUB_ZCTL, %rdi
    mov $4096, %esi
    mov $3, %edx
    mov $0x11, %r10d
    mov %r13d, %r8d
    xor %r9d, %r9d
    syscall
    movabs $(STUB_TEXT + (rf_stub_empty - rf_stub_start)), %rax
    jmp *%rax
rf_stub_empty:
    mov $__NR_munmap, %eax
    xor %edi, %edi
    movabs $STUB_VA, %rsi
    syscall
    test %rax, %rax
    jnz rf_stub_die
    mov $__NR_seccomp, %eax
    mov $1, %edi /* SECCOMP_SET_MODE_FILTER */
    xor %esi, %esi
    movabs $PROG_BASE, %rdx
    syscall
    test %rax, %rax
    jnz rf_stub_die
    xor %r12d, %r12d
    movabs $STUB_ZCTL, %rbx

/* --- the zygote: one stub process per order ---------------------------------------------------- */
rf_stub_zygote:
    lea ZCTL_SEQ(%rbx), %rdi
    xor %esi, %esi /* FUTEX_WAIT */
    mov %r12d, %edx
    xor %r10d, %r10d
    CALL __NR_futex, CALL_ZYGOTE
    mov ZCTL_SEQ(%rbx), %eax
    cmp %r12d, %eax
    je rf_stub_zygote
    mov %eax, %r12d
    mov ZCTL_BLOCK(%rbx), %rbp /* here, not in the child: the next order may be there first */
    mov ZCTL_FD(%rbx), %r13d
    mov %r13d, %edi
    mov $1030, %esi /* F_DUPFD_CLOEXEC */
    xor %edx, %edx
    CALL __NR_fcntl, CALL_ZYGOTE
    mov %eax, ZCTL_TARGET1(%rbx)
    mov %eax, %r14d
    mov %r13d, %edi
    mov $1030, %esi
    xor %edx, %edx
    CALL __NR_fcntl, CALL_ZYGOTE
    mov %eax, ZCTL_TARGET2(%rbx)
    mov %eax, %r15d
    mov %r15d, %eax
    or %r14d, %eax
    movslq %eax, %rax
    js rf_stub_zygote_done
    mov $0x8400, %edi /* CLONE_PARENT | CLONE_FILES */
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    CALL __NR_clone, CALL_ZYGOTE
    test %rax, %rax
    jz rf_stub_process
rf_stub_zygote_done:
    mov %rax, ZCTL_RESULT(%rbx)
    mov %r12d, ZCTL_DONE(%rbx)
    lea ZCTL_DONE(%rbx), %rdi
    mov $1, %esi /* FUTEX_WAKE */
    mov $1, %edx
    CALL __NR_futex, CALL_ZYGOTE
    jmp rf_stub_zygote

/* --- a stub process: its leader becomes the spawner -------------------------------------------- */
rf_stub_process:
    mov $1, %edi /* PR_SET_PDEATHSIG */
    mov $9, %esi
    CALL __NR_prctl, CALL_ZYGOTE
    CALL __NR_getppid, CALL_ZYGOTE
    cmp ZCTL_PPID(%rbx), %eax /* the sentry may have died before the line above */
    jne rf_stub_die
    mov %rbx, %rdi
    mov $4096, %esi
    CALL __NR_munmap, CALL_ZYGOTE
    test %rax, %rax
    jnz rf_stub_die
    movabs $STUB_CTL, %rdi
    mov $STUB_CTLLEN, %esi
    mov $1, %edx /* PROT_READ */
    mov $0x11, %r10d
    mov %r13d, %r8d
    mov %rbp, %r9
    CALL __NR_mmap, CALL_ZYGOTE
    movabs $STUB_SLOTS, %rdi
    mov $STUB_SLOTLEN, %esi
    mov $3, %edx
    mov $0x11, %r10d
    mov %r13d, %r8d
    lea STUB_CTLLEN(%rbp), %r9
    CALL __NR_mmap, CALL_ZYGOTE
    movabs $STUB_CTL, %rbx
    mov $0x50f00, %edi /* CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM */
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    CALL __NR_clone, CALL_ZYGOTE
    test %rax, %rax
    jz rf_stub_mapper
    js rf_stub_die
    mov CTL_SPAWN_SEQ(%rbx), %r12d /* the first order is there, but for its target, in r15 */
    jmp rf_stub_spawner_first
rf_stub_spawner:
    lea CTL_SPAWN_SEQ(%rbx), %rdi
    xor %esi, %esi
    mov %r12d, %edx
    xor %r10d, %r10d
    CALL __NR_futex, CALL_ZYGOTE
    mov CTL_SPAWN_SEQ(%rbx), %eax
    cmp %r12d, %eax
    je rf_stub_spawner
    mov %eax, %r12d
    mov CTL_SPAWN_TARGET(%rbx), %r15d
rf_stub_spawner_first:
    mov $0x50f00, %edi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    CALL __NR_clone, CALL_ZYGOTE
    test %rax, %rax
    jz rf_stub_thread
    jns rf_stub_spawner
    mov CTL_SPAWN_SLOT(%rbx), %rdi /* tell the sentry why there is no thread */
    mov %eax, SLOT_READY(%rdi)
    mov $1, %esi
    mov $1, %edx
    CALL __NR_futex, CALL_ZYGOTE
    jmp rf_stub_spawner

/* --- a new guest thread: signal stack, listener, last filter, park ------------------------------ */
rf_stub_thread:
    mov CTL_SPAWN_SLOT(%rbx), %r13
    CALL __NR_gettid, CALL_ZYGOTE
    mov %eax, %r14d
    mov $2, %edi /* SIG_SETMASK */
    movabs $PROG_MASK, %rsi
    xor %edx, %edx
    mov $8, %r10d
    CALL __NR_rt_sigprocmask, CALL_ZYGOTE
    lea CTL_SPAWN_STACK(%rbx), %rdi
    xor %esi, %esi
    CALL __NR_sigaltstack, CALL_ZYGOTE
    mov $1, %edi
    mov $0x28, %esi /* NEW_LISTENER | WAIT_KILLABLE_RECV */
    movabs $PROG_GUEST, %rdx
    CALL __NR_seccomp, CALL_ZYGOTE
    test %rax, %rax
    js rf_stub_nothread
    mov %r15d, %esi
    mov %eax, %r15d
    mov %eax, %edi
    mov $0x80000, %edx /* O_CLOEXEC */
    CALL __NR_dup3, CALL_SETUP
    mov %r15d, %edi
    CALL __NR_close, CALL_SETUP
    movl $1, SLOT_READY(%r13)
    mov %r13, %rdi
    mov $1, %esi
    mov $1, %edx
    CALL __NR_futex, CALL_SETUP
    mov $1, %edi
    xor %esi, %esi
    movabs $PROG_CLOSE, %rdx
    CALL __NR_seccomp, CALL_SETUP
    test %rax, %rax
    jnz rf_stub_die
    mov $PARK_READY, %edi
    mov %r14d, %esi
    CALL __NR_exit, CALL_PARK
    jmp rf_stub_die /* the first interrupt takes the thread away from here */
rf_stub_nothread:
    mov %eax, SLOT_READY(%r13)
    mov %r13, %rdi
    mov $1, %esi
    mov $1, %edx
    CALL __NR_futex, CALL_ZYGOTE
    CALL __NR_exit, CALL_ZYGOTE
    jmp rf_stub_die

/* --- every signal of a guest thread ------------------------------------------------------------- */
    .globl rf_stub_handler
rf_stub_handler:
    mov %rsp, %rsi
    rdfsbase %r10
    rdgsbase %r8
    mov $__NR_exit, %eax
    syscall
9:
    SITE __NR_exit, CALL_PARK
    .globl rf_stub_parked
rf_stub_parked:
    test $RESUME_SELECTOR, %al
    jz 1f
    xor %edx, %edx
    mov %edx, %ds
    mov %edx, %es
    mov %edx, %fs
    mov %edx, %gs
1:  test $RESUME_FS, %al
    jz 2f
    mov FRAME_FS(%rsp), %rdx
    wrfsbase %rdx
2:  test $RESUME_GS, %al
    jz 3f
    mov FRAME_GS(%rsp), %rdx
    wrgsbase %rdx
3:  add $8, %rsp
    .globl rf_stub_restorer
rf_stub_restorer:
    CALL __NR_rt_sigreturn, CALL_RETURN
rf_stub_die:
    hlt
    jmp rf_stub_die

/* --- the mapper: carries out batches of mapping calls ------------------------------------------- */
rf_stub_mapper:
    mov $1, %edi
    mov $0x28, %esi
    movabs $PROG_MAPPER, %rdx
    CALL __NR_seccomp, CALL_ZYGOTE
    mov %eax, %r15d
    mov %eax, %edi
    mov %r14d, %esi
    mov $0x80000, %edx
    CALL __NR_dup3, CALL_MAPPER
    mov %r15d, %edi
    CALL __NR_close, CALL_MAPPER
    movabs $STUB_SLOTS, %rdi
    movl $1, SLOT_READY(%rdi)
    mov $1, %esi
    mov $1, %edx
    CALL __NR_futex, CALL_MAPPER
    xor %esi, %esi /* the first park reports no failure */
    xor %edx, %edx
rf_stub_mapper_park:
    mov $PARK_MAPPER, %edi
    mov %r15, %r10
    CALL __NR_exit, CALL_PARK
    mov %eax, %r12d /* entries, from the sentry */
    xor %r13d, %r13d
    lea CTL_BATCH(%rbx), %r14
rf_stub_mapper_next:
    cmp %r12d, %r13d
    je rf_stub_mapper_done
    mov 0(%r14), %eax
    mov 8(%r14), %rdi
    mov 16(%r14), %rsi
    mov 24(%r14), %rdx
    mov 32(%r14), %r10
    mov 40(%r14), %r8
    mov 48(%r14), %r9
    syscall
9:
    SITE __NR_mmap, CALL_MAPPER
    SITE __NR_munmap, CALL_MAPPER
    SITE __NR_mprotect, CALL_MAPPER
    SITE __NR_fcntl, CALL_MAPPER
    mov %rax, %r15
    cmp $-4095, %rax
    jae rf_stub_mapper_failed
    add $BATCH_ENTRY, %r14
    inc %r13d
    jmp rf_stub_mapper_next
rf_stub_mapper_done:
    xor %eax, %eax
rf_stub_mapper_failed:
    mov %rax, %rsi
    mov %r13d, %edx
    jmp rf_stub_mapper_park

    .globl rf_stub_end
rf_stub_end:
    .section .rodata.stubcalls, "a"
    .globl rf_stub_calls_end
rf_stub_calls_end:
    .section .note.GNU-stack, "", @progbits
