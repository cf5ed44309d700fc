/* The stubs' seccomp filters, made from the table of call sites that stub.S writes.
 *
 *   base    every zygote and stub thread. A call of the stub text passes if it is made at its very
 * own address; i386 calls fail; all else is "notify", which without a listener is ENOSYS. mapper
 * the mapper thread, with a listener: its few calls, its parked call, else death. guest   each
 * guest thread, with its own listener: notify everything; trap what needs all registers; let pass
 * the thread's own set-up calls and the stub's rt_sigreturn. close   each guest thread, last: the
 * set-up calls trap from now on, wherever they come from.
 *
 * The kernel takes the strongest verdict (KILL > TRAP > ERRNO > NOTIFY > ALLOW), the newest
 * filter's among equals; so "guest" wins a notification and "close" wins over its allowances. */
#include "systrap_priv.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#define PROG_INSNS_MAX 600

struct prog {
    unsigned count;
    struct sock_filter insns[PROG_INSNS_MAX];
};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IP_LOW                                                                                     \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer))
#define IP_HIGH                                                                                    \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4)
#define JUMP_EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (yes), (no))
#define RETURN(what)        BPF_STMT(BPF_RET | BPF_K, (what))

static void emit(struct prog *g, struct sock_filter insn)
{
    if (g->count < PROG_INSNS_MAX)
        g->insns[g->count] = insn;
    g->count++;
}

static void emit_arch(struct prog *g, uint32_t verdict)
{
    emit(g, (struct sock_filter)LOAD(arch));
    emit(g, (struct sock_filter)JUMP_EQ(AUDIT_ARCH_X86_64, 1, 0));
    emit(g, (struct sock_filter)RETURN(verdict));
}

/* verdict for the call sites whose who is in the set; any_nr: whatever number they are entered
 * with. */
static void emit_sites(struct prog *g, unsigned who, uint32_t verdict, bool any_nr)
{
    emit(g, (struct sock_filter)IP_HIGH);
    emit(g, (struct sock_filter)JUMP_EQ(STUB_VA_HIGH, 1, 0));
    unsigned jump = g->count;
    emit(g, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    for (const struct st_callsite *s = rf_stub_calls; s < rf_stub_calls_end; s++) {
        if (!(s->who & who))
            continue;
        emit(g, (struct sock_filter)IP_LOW);
        emit(g, (struct sock_filter)JUMP_EQ((uint32_t)(STUB_TEXT + s->offset), 0, any_nr ? 1 : 3));
        if (!any_nr) {
            emit(g, (struct sock_filter)LOAD(nr));
            emit(g, (struct sock_filter)JUMP_EQ(s->nr, 0, 1));
        }
        emit(g, (struct sock_filter)RETURN(verdict));
    }
    g->insns[jump].k = g->count - jump - 1;
}

static void build_base(struct prog *g)
{
    emit_arch(g, SECCOMP_RET_ERRNO | ENOSYS);
    emit_sites(g, CALL_ZYGOTE | CALL_SETUP | CALL_RETURN | CALL_MAPPER, SECCOMP_RET_ALLOW, false);
    emit(g, (struct sock_filter)RETURN(SECCOMP_RET_USER_NOTIF));
}

static void build_mapper(struct prog *g)
{
    emit_arch(g, SECCOMP_RET_KILL_PROCESS);
    emit_sites(g, CALL_MAPPER, SECCOMP_RET_ALLOW, false);
    emit_sites(g, CALL_PARK, SECCOMP_RET_USER_NOTIF, false);
    emit(g, (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS));
}

static void build_guest(struct prog *g, const struct pl_config *c)
{
    emit_arch(g, SECCOMP_RET_ALLOW); /* the base filter has the last word: ENOSYS */
    emit_sites(g, CALL_SETUP | CALL_RETURN, SECCOMP_RET_ALLOW, false);
    emit_sites(g, CALL_PARK, SECCOMP_RET_USER_NOTIF, false);
    emit(g, (struct sock_filter)LOAD(nr));
    unsigned room = 128;
    for (unsigned nr = 0; nr < c->full_calls_count * 64 && room; nr++) {
        if (!(c->full_calls[nr / 64] >> (nr % 64) & 1))
            continue;
        emit(g, (struct sock_filter)JUMP_EQ(nr, 0, 1));
        emit(g, (struct sock_filter)RETURN(SECCOMP_RET_TRAP));
        room--;
    }
    emit(g, (struct sock_filter)RETURN(SECCOMP_RET_USER_NOTIF));
}

static void build_close(struct prog *g)
{
    emit_sites(g, CALL_SETUP, SECCOMP_RET_TRAP, true);
    emit(g, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
}

/* Appends a program to the text file's data and fills its struct sock_fprog. */
static int place(const struct prog *g, char *base, size_t size, size_t *used, uint64_t prog_va)
{
    size_t bytes = g->count * sizeof(g->insns[0]);
    struct sock_fprog head = {.len = g->count};

    if (g->count > PROG_INSNS_MAX || *used + bytes > size)
        return -E2BIG;
    uint64_t va = STUB_PROGS + *used;
    memcpy(&head.filter, &va, sizeof(va));
    memcpy(base + (prog_va - STUB_PROGS), &head, sizeof(head));
    memcpy(base + *used, g->insns, bytes);
    *used += bytes;
    return 0;
}

int st_filter_build(const struct pl_config *c, void *base, size_t size)
{
    struct prog progs[4] = {0};
    const uint64_t places[4] = {PROG_BASE, PROG_MAPPER, PROG_GUEST, PROG_CLOSE};
    size_t used = PROG_MASK + 64 - STUB_PROGS;

    build_base(&progs[0]);
    build_mapper(&progs[1]);
    build_guest(&progs[2], c);
    build_close(&progs[3]);
    for (unsigned i = 0; i < 4; i++) {
        int err = place(&progs[i], base, size, &used, places[i]);
        if (err)
            return err;
    }
    return 0;
}
