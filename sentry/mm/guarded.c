/* Loads and stores that may hit a hole: a donated file can be truncated by others at any moment, and
 * a page of the memory file may be refused when the host is out of memory. The host answers our
 * access with SIGBUS.
 *
 * The instructions that touch such memory stand between two labels, with what is left to do in rcx;
 * the
 * sentry's SIGSEGV and SIGBUS handler asks uaccess_fixup, which moves the instruction pointer to
 * the recovery label if it lies in one of those ranges. */
#include "mm_priv.h"

#include <signal.h>
#include <ucontext.h>

size_t guarded_copy_asm(void *dst, const void *src, size_t size);
size_t guarded_zero_asm(void *dst, size_t size);
int guarded_load32_asm(const uint32_t *p, uint32_t *value);
int guarded_cmpxchg32_asm(uint32_t *p, uint32_t *expected, uint32_t desired);
extern const char guarded_copy_begin[], guarded_copy_end[], guarded_copy_fix[];
extern const char guarded_word_begin[], guarded_word_end[], guarded_word_fix[];

/* System V order: rdi, rsi, rdx. rcx counts down what is left, which is what we return. */
__asm__(".pushsection .text\n"
        ".type guarded_copy_asm, @function\n"
        "guarded_copy_asm:\n"
        "    mov %rdx, %rcx\n"
        "guarded_copy_begin:\n"
        "    cmp $256, %rcx\n" /* rep needs a run-up */
        "    ja 7f\n"
        "5:  cmp $8, %rcx\n"
        "    jb 6f\n"
        "    mov (%rsi), %rax\n"
        "    mov %rax, (%rdi)\n"
        "    add $8, %rsi\n"
        "    add $8, %rdi\n"
        "    sub $8, %rcx\n"
        "    jmp 5b\n"
        "6:  test %rcx, %rcx\n"
        "    jz guarded_copy_fix\n"
        "    mov (%rsi), %al\n"
        "    mov %al, (%rdi)\n"
        "    inc %rsi\n"
        "    inc %rdi\n"
        "    dec %rcx\n"
        "    jmp 6b\n"
        "7:  rep movsb\n"
        "    jmp guarded_copy_fix\n"
        "1:  rep stosb\n"
        "guarded_copy_end:\n"
        "guarded_copy_fix:\n"
        "    mov %rcx, %rax\n"
        "    ret\n"
        ".size guarded_copy_asm, . - guarded_copy_asm\n"
        ".type guarded_zero_asm, @function\n"
        "guarded_zero_asm:\n"
        "    mov %rsi, %rcx\n"
        "    xor %eax, %eax\n"
        "    jmp 1b\n"
        ".size guarded_zero_asm, . - guarded_zero_asm\n"
        ".type guarded_load32_asm, @function\n"
        "guarded_load32_asm:\n"
        "    jmp 2f\n"
        ".size guarded_load32_asm, . - guarded_load32_asm\n"
        ".type guarded_cmpxchg32_asm, @function\n"
        "guarded_cmpxchg32_asm:\n"
        "    mov (%rsi), %eax\n"
        "    jmp 3f\n"
        ".size guarded_cmpxchg32_asm, . - guarded_cmpxchg32_asm\n"
        "guarded_word_begin:\n"
        "2:  mov (%rdi), %eax\n"
        "    jmp 4f\n"
        "3:  lock cmpxchg %edx, (%rdi)\n"
        "guarded_word_end:\n"
        "4:  mov %eax, (%rsi)\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        "guarded_word_fix:\n"
        "    mov $-14, %eax\n"
        "    ret\n"
        ".popsection\n");

size_t guarded_copy(void *dst, const void *src, size_t size)
{
    return guarded_copy_asm(dst, src, size);
}

size_t guarded_zero(void *dst, size_t size)
{
    return guarded_zero_asm(dst, size);
}

int guarded_load32(const uint32_t *p, uint32_t *value)
{
    return guarded_load32_asm(p, value);
}

int guarded_cmpxchg32(uint32_t *p, uint32_t *expected, uint32_t desired)
{
    return guarded_cmpxchg32_asm(p, expected, desired);
}

bool uaccess_fixup(void *ucontext, uint64_t fault_addr)
{
    greg_t *ip = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
    const char *at = (const char *)*ip;
    (void)fault_addr; /* only these instructions touch foreign memory, wherever it lies */
    if (at >= guarded_copy_begin && at < guarded_copy_end)
        *ip = (greg_t)guarded_copy_fix;
    else if (at >= guarded_word_begin && at < guarded_word_end)
        *ip = (greg_t)guarded_word_fix;
    else
        return false;
    return true;
}
