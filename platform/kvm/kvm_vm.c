/* The virtual machine and its memory slots.
 *
 * The sentry's two regions may be a tebibyte wide and sparse; a slot costs KVM memory by its size,
 * so a slot is added for a 64 MiB piece when something in it is first mapped (about 50 us each). */
#include "kvm_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VM_CPUID_MAX 256u
#define VM_TSS_ADDR                                                                                \
    0xfffbd000ul /* three pages that Intel needs for real mode; below all else of ours */

unsigned g_kvm_vcpu_limit;

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
    for (int i = 0; i < 1000; i++) {
        int rc = ioctl(fd, request, arg);
        if (rc >= 0)
            return rc;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return -EINTR;
}

static int slot_set(struct kvm_platform *p, uint32_t slot, uint64_t gpa, uint64_t size, void *hva)
{
    struct kvm_userspace_memory_region r = {.slot = slot,
                                            .guest_phys_addr = gpa,
                                            .memory_size = size,
                                            .userspace_addr = (uint64_t)(uintptr_t)hva};
    return kvm_ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
}

int kvm_slot_add(struct kvm_platform *p, uint64_t gpa, uint64_t size, void *hva)
{
    pthread_mutex_lock(&p->slot_lock);
    int rc = slot_set(p, p->slot_next, gpa, size, hva);
    if (rc >= 0)
        p->slot_next++;
    pthread_mutex_unlock(&p->slot_lock);
    return rc < 0 ? rc : 0;
}

/* Removing any slot makes KVM drop all shadow pages of the VM at once. */
void kvm_shadow_drop(struct kvm_platform *p)
{
    const uint64_t gpa = KVM_KMEM_SIZE * 4ull;
    pthread_mutex_lock(&p->slot_lock);
    slot_set(p, 0, gpa, 0, p->kmem + KVM_KP_DUMMY * PL_PAGE_SIZE);
    slot_set(p, 0, gpa, PL_PAGE_SIZE, p->kmem + KVM_KP_DUMMY * PL_PAGE_SIZE);
    pthread_mutex_unlock(&p->slot_lock);
}

/* Put a slot under piece i of a region, clipped to the region. Chunk numbers are congruent with the
 * region in 2 MiB, so that large pages can be used. */
static int chunk_add(struct kvm_platform *p, struct kvm_region *r, uint64_t i, uint32_t *chunk)
{
    int rc = 0;
    pthread_mutex_lock(&p->slot_lock);
    *chunk = atomic_load(&r->chunk[i]);
    if (!*chunk) {
        uint64_t start = (uintptr_t)r->base & ~(KVM_CHUNK_SIZE - 1),
                 lo = start + i * KVM_CHUNK_SIZE;
        uint64_t hi = lo + KVM_CHUNK_SIZE, end = (uintptr_t)r->base + r->size;
        uint64_t off = lo < (uintptr_t)r->base ? (uintptr_t)r->base - lo : 0;
        hi = hi > end ? end : hi;
        uint32_t n = p->chunk_next;
        rc = n == p->chunk_end ? -ENOMEM
                               : slot_set(p, p->slot_next, ((uint64_t)n << KVM_CHUNK_SHIFT) + off,
                                          hi - lo - off, (void *)(uintptr_t)(lo + off));
        if (rc >= 0) {
            p->slot_next++;
            p->chunk_next++;
            p->chunk_hva[n - (KVM_DATA_GPA >> KVM_CHUNK_SHIFT)] = (uint8_t *)(uintptr_t)lo;
            atomic_store(&r->chunk[i], n);
            *chunk = n;
        }
    }
    pthread_mutex_unlock(&p->slot_lock);
    return rc < 0 ? rc : 0;
}

int kvm_gpa_find(struct kvm_platform *p, const void *hva, uint64_t *gpa, uint64_t *run)
{
    uint64_t at = (uintptr_t)hva;
    for (unsigned n = 0; n < 2; n++) {
        struct kvm_region *r = &p->region[n];
        uint64_t base = (uintptr_t)r->base;
        if (!r->size || at < base || at - base >= r->size)
            continue;
        uint64_t i = (at - (base & ~(KVM_CHUNK_SIZE - 1))) >> KVM_CHUNK_SHIFT;
        uint32_t chunk = atomic_load(&r->chunk[i]);
        int rc = chunk ? 0 : chunk_add(p, r, i, &chunk);
        if (rc < 0)
            return rc;
        uint64_t off = at & (KVM_CHUNK_SIZE - 1), left = base + r->size - at;
        *gpa = ((uint64_t)chunk << KVM_CHUNK_SHIFT) + off;
        *run = KVM_CHUNK_SIZE - off < left ? KVM_CHUNK_SIZE - off : left;
        return 0;
    }
    return -EINVAL;
}

uint8_t *kvm_hva_find(struct kvm_platform *p, uint64_t gpa)
{
    uint64_t n = gpa >> KVM_CHUNK_SHIFT;
    if (n < KVM_DATA_GPA >> KVM_CHUNK_SHIFT || n >= p->chunk_end)
        return NULL;
    uint8_t *base = p->chunk_hva[n - (KVM_DATA_GPA >> KVM_CHUNK_SHIFT)];
    return base ? base + (gpa & (KVM_CHUNK_SIZE - 1)) : NULL;
}

static int region_init(struct kvm_region *r, void *base, uint64_t size)
{
    r->base = base;
    r->size = base ? size : 0;
    r->chunk = calloc((r->size >> KVM_CHUNK_SHIFT) + 2, sizeof(*r->chunk));
    return r->chunk ? 0 : -ENOMEM;
}

/* Features that the guest must not see because nothing here carries their state. */
static void cpuid_hide(struct kvm_cpuid_entry2 *e)
{
    if (e->function == 7 && e->index == 0) {
        e->ecx &= ~(1u << 3 | 1u << 4 | 1u << 7);               /* pku, ospke, shadow stacks */
        e->edx &= ~(1u << 20 | 1u << 22 | 1u << 24 | 1u << 25); /* ibt, amx */
    }
}

static void cpuid_learn(struct kvm_platform *p, const struct kvm_cpuid_entry2 *e, uint64_t *xcr0)
{
    if (e->function == 1 && e->ecx & 1u << 26)
        p->cr4 |= KVM_BIT(18); /* OSXSAVE */
    if (e->function == 7 && e->index == 0 && e->ebx & 1)
        p->cr4 |= KVM_BIT(16); /* FSGSBASE */
    if (e->function == 7 && e->index == 0 && e->ebx & 1u << 7)
        p->cr4 |= KVM_BIT(20); /* SMEP */
    if (e->function == 0xd && e->index == 0)
        *xcr0 = e->eax | (uint64_t)e->edx << 32;
    if (e->function == 0x80000008u) {
        unsigned bits = e->eax & 0xff;
        uint64_t end = bits > KVM_CHUNK_SHIFT ? 1ull << (bits - KVM_CHUNK_SHIFT) : 0;
        p->chunk_end = end < 1u << 24 ? (uint32_t)end : 1u << 24;
    }
}

static uint64_t xcr0_choose(uint64_t offered)
{
    uint64_t x = offered & 7;
    if ((x & 4) && (offered & 0xe0) == 0xe0)
        x |= 0xe0;
    return x;
}

static int cpuid_read(struct kvm_platform *p)
{
    uint64_t xcr0 = 0;
    p->cpuid = calloc(1, sizeof(*p->cpuid) + VM_CPUID_MAX * sizeof(p->cpuid->entries[0]));
    if (!p->cpuid)
        return -ENOMEM;
    p->cpuid->nent = VM_CPUID_MAX;
    int rc = kvm_ioctl(p->cfg.kvm_fd, KVM_GET_SUPPORTED_CPUID, p->cpuid);
    if (rc < 0)
        return rc;
    p->cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT */
    p->chunk_end = 1u << (36 - KVM_CHUNK_SHIFT);
    for (unsigned i = 0; i < p->cpuid->nent; i++) {
        cpuid_hide(&p->cpuid->entries[i]);
        cpuid_learn(p, &p->cpuid->entries[i], &xcr0);
    }
    p->xcr0 = p->cr4 & KVM_BIT(18) ? xcr0_choose(xcr0 | 3) : 0;
    return 0;
}

static int vm_check(struct kvm_platform *p)
{
    if (ioctl(p->cfg.kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return -ENODEV;
    int sync = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    int imm = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT);
    if (sync < 0 || !(sync & KVM_SYNC_X86_REGS) || imm <= 0)
        return -EOPNOTSUPP;
    int max = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    int slots = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    int size = ioctl(p->cfg.kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (max < 1 || slots < 64 || size < (int)sizeof(struct kvm_run))
        return -EOPNOTSUPP;
    p->run_size = (size_t)size;
    p->vcpu_max = (unsigned)max < KVM_VCPU_MAX ? (unsigned)max : KVM_VCPU_MAX;
    if (g_kvm_vcpu_limit && g_kvm_vcpu_limit < p->vcpu_max)
        p->vcpu_max = g_kvm_vcpu_limit;
    uint32_t room = (uint32_t)slots - 2 - (uint32_t)(KVM_ARENA_SIZE / KVM_ARENA_SLOT);
    uint32_t first = KVM_DATA_GPA >> KVM_CHUNK_SHIFT;
    if (p->chunk_end <= first)
        return -EOPNOTSUPP;
    if (p->chunk_end - first > room)
        p->chunk_end = first + room;
    p->chunk_next = first;
    p->chunk_hva = calloc(p->chunk_end - first, sizeof(*p->chunk_hva));
    return p->chunk_hva ? 0 : -ENOMEM;
}

static int vm_memory(struct kvm_platform *p)
{
    int rc = region_init(&p->region[0], p->cfg.memfile_base, p->cfg.memfile_size);
    if (rc == 0)
        rc = region_init(&p->region[1], p->cfg.window_base, p->cfg.window_size);
    if (rc < 0)
        return rc;
    p->kmem = mmap(NULL, KVM_KMEM_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->kmem == MAP_FAILED) {
        p->kmem = NULL;
        return -ENOMEM;
    }
    madvise(p->kmem, KVM_KMEM_SIZE, MADV_NOHUGEPAGE);
    p->can_populate = madvise(p->kmem, PL_PAGE_SIZE, MADV_POPULATE_READ) == 0;
    kvm_image_build(p);
    p->slot_next = 1; /* slot 0 is the dummy */
    rc = kvm_slot_add(p, 0, KVM_KMEM_SIZE, p->kmem);
    if (rc < 0)
        return rc;
    kvm_shadow_drop(p); /* puts the dummy slot in place */
    return kvm_arena_create(p);
}

int kvm_vm_create(const struct pl_config *cfg, struct kvm_platform **out)
{
    struct kvm_platform *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->cfg = *cfg;
    pthread_mutex_init(&p->slot_lock, NULL);
    pthread_mutex_init(&p->pool_lock, NULL);
    pthread_cond_init(&p->pool_saved, NULL);
    p->pid = getpid();
    p->vm_fd = kvm_ioctl(cfg->kvm_fd, KVM_CREATE_VM, NULL);
    int rc = p->vm_fd < 0 ? p->vm_fd : cpuid_read(p);
    if (rc == 0)
        rc = vm_check(p);
    if (rc == 0) {
        ioctl(p->vm_fd, KVM_SET_TSS_ADDR, VM_TSS_ADDR); /* needed by old Intel; others may refuse */
        rc = vm_memory(p);
    }
    if (rc < 0) {
        kvm_vm_destroy(p);
        return rc;
    }
    *out = p;
    return 0;
}

void kvm_vm_destroy(struct kvm_platform *p)
{
    for (unsigned i = 0; i < p->vcpu_count; i++)
        kvm_vcpu_destroy(p, p->vcpu[i]);
    if (p->vm_fd >= 0)
        close(p->vm_fd);
    kvm_arena_destroy(p);
    if (p->kmem)
        munmap(p->kmem, KVM_KMEM_SIZE);
    free(p->region[0].chunk);
    free(p->region[1].chunk);
    free((void *)p->chunk_hva);
    free(p->cpuid);
    pthread_cond_destroy(&p->pool_saved);
    pthread_mutex_destroy(&p->pool_lock);
    pthread_mutex_destroy(&p->slot_lock);
    free(p);
}
