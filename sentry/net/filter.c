/* Classic BPF: SO_ATTACH_FILTER. A program is checked when it is attached (every jump goes forward
 * and inside, every memory cell and constant is in range, the last instruction returns), so running
 * it needs no checks but those of loads from the packet. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

struct filter {
    struct ref ref;
    unsigned count;
    struct sock_filter code[];
};

struct filter *filter_get(struct filter *f)
{
    if (f)
        ref_get(&f->ref);
    return f;
}

void filter_put(struct filter *f)
{
    if (f && ref_put(&f->ref))
        free(f);
}

/* ---- checking
 * ------------------------------------------------------------------------ */

static bool code_known(unsigned code)
{
    static const uint16_t known[] = {
        BPF_LD | BPF_W | BPF_ABS,
        BPF_LD | BPF_H | BPF_ABS,
        BPF_LD | BPF_B | BPF_ABS,
        BPF_LD | BPF_W | BPF_LEN,
        BPF_LD | BPF_W | BPF_IND,
        BPF_LD | BPF_H | BPF_IND,
        BPF_LD | BPF_B | BPF_IND,
        BPF_LD | BPF_IMM,
        BPF_LD | BPF_MEM,
        BPF_LDX | BPF_W | BPF_LEN,
        BPF_LDX | BPF_B | BPF_MSH,
        BPF_LDX | BPF_IMM,
        BPF_LDX | BPF_MEM,
        BPF_ST,
        BPF_STX,
        BPF_ALU | BPF_NEG,
        BPF_JMP | BPF_JA,
        BPF_RET | BPF_K,
        BPF_RET | BPF_A,
        BPF_MISC | BPF_TAX,
        BPF_MISC | BPF_TXA,
    };
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++)
        if (known[i] == code)
            return true;
    unsigned op = code & 0xf0, class = code & 7;
    if (code & ~0xffu)
        return false;
    if (class == BPF_ALU)
        return op <= BPF_XOR && op != BPF_NEG;
    return class == BPF_JMP && op >= BPF_JEQ && op <= BPF_JSET;
}

static bool instruction_ok(const struct sock_filter *f, unsigned pc, unsigned count)
{
    const struct sock_filter *i = &f[pc];
    if (!code_known(i->code))
        return false;
    switch (i->code) {
    case BPF_ALU | BPF_DIV | BPF_K:
    case BPF_ALU | BPF_MOD | BPF_K:
        return i->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
        return i->k < 32;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return i->k < BPF_MEMWORDS;
    case BPF_JMP | BPF_JA:
        return i->k < count - pc - 1;
    }
    if (BPF_CLASS(i->code) == BPF_JMP)
        return pc + 1 + i->jt < count && pc + 1 + i->jf < count;
    return true;
}

/* No path may read a memory cell that it has not written. */
static bool memory_ok(const struct sock_filter *f, unsigned count)
{
    uint16_t *known = malloc(count * sizeof(*known));
    if (!known)
        return false;
    memset(known, 0xff, count * sizeof(*known));
    uint16_t now = 0;
    bool ok = true;
    for (unsigned pc = 0; pc < count && ok; pc++) {
        unsigned k = f[pc].k, code = f[pc].code;
        now &= known[pc];
        if (code == BPF_ST || code == BPF_STX) {
            now |= 1u << k;
        } else if (code == (BPF_LD | BPF_MEM) || code == (BPF_LDX | BPF_MEM)) {
            ok = now & (1u << k);
        } else if (code == (BPF_JMP | BPF_JA)) {
            known[pc + 1 + k] &= now;
            now = 0xffff;
        } else if (BPF_CLASS(code) == BPF_JMP) {
            known[pc + 1 + f[pc].jt] &= now;
            known[pc + 1 + f[pc].jf] &= now;
            now = 0xffff;
        }
    }
    free(known);
    return ok;
}

static bool program_ok(const struct sock_filter *f, unsigned count)
{
    for (unsigned pc = 0; pc < count; pc++)
        if (!instruction_ok(f, pc, count))
            return false;
    return BPF_CLASS(f[count - 1].code) == BPF_RET && memory_ok(f, count);
}

int filter_attach(struct task *t, struct socket *s, const struct opt_in *in)
{
    struct sock_fprog prog;
    lock_check_held(LR_SOCKET);
    if (in->size != sizeof(prog))
        return -EINVAL;
    memcpy(&prog, in->value, sizeof(prog));
    if (!prog.filter || !prog.len || prog.len > BPF_MAXINSNS)
        return -EINVAL;
    size_t size = prog.len * sizeof(struct sock_filter);
    struct filter *f = malloc(sizeof(*f) + size);
    if (!f)
        return -ENOMEM;
    ref_init(&f->ref);
    f->count = prog.len;
    lock_release(&g_net_lock);
    int err = uaccess_read(t->mm, f->code, uaddr((uint64_t)prog.filter), size) ? -EFAULT : 0;
    if (!err && !program_ok(f->code, f->count))
        err = -EINVAL;
    lock_acquire(&g_net_lock);
    if (!err && s->opt[OPT_LOCK_FILTER])
        err = -EPERM;
    if (err) {
        filter_put(f);
        return err;
    }
    filter_put(s->filter);
    s->filter = f;
    return 0;
}

int filter_detach(struct socket *s)
{
    lock_check_held(LR_SOCKET);
    if (!s->filter)
        return -ENOENT;
    filter_put(s->filter);
    s->filter = NULL;
    return 0;
}

/* SO_GET_FILTER: the size is in instructions, and 0 asks for it. */
int filter_read(struct task *t, struct socket *s, void *v, unsigned *size)
{
    LOCK_GUARD(&g_net_lock);
    unsigned count = s->filter ? s->filter->count : 0, room = *size;
    *size = count;
    if (!count || !room)
        return 0;
    if (room < count || count * sizeof(struct sock_filter) > NET_OPT_MAX)
        return -EINVAL;
    memcpy(v, s->filter->code, count * sizeof(struct sock_filter));
    return 0;
}

/* ---- running
 * ------------------------------------------------------------------------ */

struct view { /* what the program sees: a header in front of the data */
    const uint8_t *head, *data;
    size_t head_size, size; /* size: of both */
    const struct packet *p;
    struct socket *to;
};

static bool byte_at(const struct view *v, uint64_t at, uint8_t *out)
{
    if (at >= v->size)
        return false;
    *out = at < v->head_size ? v->head[at] : v->data[at - v->head_size];
    return true;
}

static bool load_ancillary(const struct view *v, uint32_t at, uint32_t a, uint32_t *out)
{
    uint8_t b;
    switch ((int32_t)at - SKF_AD_OFF) {
    case SKF_AD_PROTOCOL:
        *out = v->p->meta.inet && !inet_ip_is_v4(&v->p->meta.to) ? 0x86dd : 0x0800;
        return true;
    case SKF_AD_PKTTYPE:
        *out = v->p->meta.kind;
        return true;
    case SKF_AD_IFINDEX:
        *out = IFACE_INDEX;
        return true;
    case SKF_AD_MARK:
        *out = v->p->meta.mark;
        return true;
    case SKF_AD_HATYPE:
        *out = 772; /* ARPHRD_LOOPBACK */
        return true;
    case SKF_AD_RANDOM:
        *out = (uint32_t)(uintptr_t)v->p * 2654435761u;
        return true;
    case SKF_AD_ALU_XOR_X:
        *out = a;
        return true;
    case SKF_AD_PAY_OFFSET:
        *out = byte_at(v, 0, &b) ? v->head_size : 0;
        return true;
    case SKF_AD_NLATTR:
    case SKF_AD_NLATTR_NEST:
    case SKF_AD_QUEUE:
    case SKF_AD_RXHASH:
    case SKF_AD_CPU:
    case SKF_AD_VLAN_TAG:
    case SKF_AD_VLAN_TAG_PRESENT:
        *out = 0;
        return true;
    }
    return false;
}

/* Big-endian, as packets are. False: outside, and the program ends with 0. */
static bool load(const struct view *v, uint64_t at, unsigned size, uint32_t *out)
{
    uint8_t b;
    *out = 0;
    for (unsigned i = 0; i < size; i++) {
        if (!byte_at(v, at + i, &b))
            return false;
        *out = *out << 8 | b;
    }
    return true;
}

static uint32_t alu(unsigned op, uint32_t a, uint32_t b)
{
    switch (op) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return b ? a / b : 0;
    case BPF_MOD:
        return b ? a % b : a;
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << (b & 31);
    case BPF_RSH:
        return a >> (b & 31);
    default:
        return -a;
    }
}

static bool jumps(unsigned op, uint32_t a, uint32_t b)
{
    return op == BPF_JEQ ? a == b : op == BPF_JGT ? a > b : op == BPF_JGE ? a >= b : (a & b) != 0;
}

struct machine {
    uint32_t a, x, mem[BPF_MEMWORDS];
};

static bool run_load(const struct view *v, const struct sock_filter *i, struct machine *m)
{
    unsigned size = BPF_SIZE(i->code) == BPF_W ? 4 : BPF_SIZE(i->code) == BPF_H ? 2 : 1;
    switch (BPF_MODE(i->code)) {
    case BPF_ABS:
        if (i->k >= (uint32_t)SKF_AD_OFF)
            return load_ancillary(v, i->k, m->a ^ m->x, &m->a);
        if (i->k >= (uint32_t)SKF_LL_OFF)
            return load(v, i->k - (uint32_t)SKF_NET_OFF, size, &m->a);
        return load(v, i->k, size, &m->a);
    case BPF_IND:
        return load(v, (uint64_t)(uint32_t)(i->k + m->x), size, &m->a);
    case BPF_LEN:
        m->a = v->size;
        return true;
    case BPF_IMM:
        m->a = i->k;
        return true;
    default:
        m->a = m->mem[i->k];
        return true;
    }
}

static bool run_ldx(const struct view *v, const struct sock_filter *i, struct machine *m)
{
    uint32_t b;
    switch (BPF_MODE(i->code)) {
    case BPF_MSH:
        if (!load(v, i->k, 1, &b))
            return false;
        m->x = (b & 0xf) * 4;
        return true;
    case BPF_LEN:
        m->x = v->size;
        return true;
    case BPF_IMM:
        m->x = i->k;
        return true;
    default:
        m->x = m->mem[i->k];
        return true;
    }
}

static uint32_t run(const struct filter *f, const struct view *v)
{
    struct machine m = {.a = 0};
    for (unsigned pc = 0; pc < f->count; pc++) {
        const struct sock_filter *i = &f->code[pc];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? m.x : i->k;
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            if (!run_load(v, i, &m))
                return 0;
            break;
        case BPF_LDX:
            if (!run_ldx(v, i, &m))
                return 0;
            break;
        case BPF_ST:
            m.mem[i->k] = m.a;
            break;
        case BPF_STX:
            m.mem[i->k] = m.x;
            break;
        case BPF_ALU:
            if (BPF_SRC(i->code) == BPF_X && !m.x &&
                (BPF_OP(i->code) == BPF_DIV || BPF_OP(i->code) == BPF_MOD))
                return 0;
            m.a = alu(BPF_OP(i->code), m.a, operand);
            break;
        case BPF_JMP:
            if (BPF_OP(i->code) == BPF_JA)
                pc += i->k;
            else
                pc += jumps(BPF_OP(i->code), m.a, operand) ? i->jt : i->jf;
            break;
        case BPF_RET:
            return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
        default:
            if (BPF_MISCOP(i->code) == BPF_TAX)
                m.x = m.a;
            else
                m.a = m.x;
        }
    }
    return 0;
}

size_t filter_run(struct socket *to, const struct packet *p, const void *header, size_t header_size)
{
    struct view v = {.head = header,
                     .data = (const uint8_t *)p->data,
                     .head_size = header_size,
                     .size = header_size + p->size,
                     .p = p};
    if (!to->filter)
        return v.size;
    uint32_t keep = run(to->filter, &v);
    return MIN((size_t)keep, v.size);
}
