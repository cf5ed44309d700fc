/* What ring 0 of the guest consists of: a GDT, an IDT of 32 gates, a page of code in which
 * everything but the way back is a hlt, and one page for each vCPU. Also the stub tree: a second
 * set of page tables under which our own ring 3 code moves FP state and tries the processor out. No
 * guest ever runs under it and it is in no guest's tables. */
#include "kvm_priv.h"

#include <string.h>

/* Ring 0 code and ring 3 stubs; both are position independent and copied into the kernel slot. */
__asm__(".pushsection .rodata\n"
        "kvm_kcode_begin:\n"
        "  hlt\n"
        "  iretq\n"
        "  .balign 16, 0xf4\n"
        "  mov %rax, %cr3\n"
        "  pop %rax\n"
        "  iretq\n"
        "kvm_kcode_end:\n"
        "kvm_stub_fpu: xsave64 (%rdi)\n"
        "  xrstor64 (%rsi)\n"
        "  syscall\n"
        "kvm_stub_fsgs: mov $0x123450000, %rax\n"
        "  wrfsbase %rax\n"
        "  rdfsbase %rbx\n"
        "  syscall\n"
        "kvm_stub_xgetbv: xor %ecx, %ecx\n"
        "  xgetbv\n"
        "  mov %rax, %rbx\n"
        "  syscall\n"
        "kvm_stub_load: mov (%rdi), %rbx\n"
        "  syscall\n"
        "kvm_stub_cpuid: cpuid\n"
        "  mov %rcx, %rdi\n"
        "  syscall\n"
        "kvm_stub_end:\n"
        ".popsection\n");
extern const uint8_t kvm_kcode_begin[], kvm_kcode_end[], kvm_stub_fpu[], kvm_stub_fsgs[],
    kvm_stub_xgetbv[], kvm_stub_load[], kvm_stub_cpuid[], kvm_stub_end[];
__asm__(".hidden kvm_kcode_begin, kvm_kcode_end, kvm_stub_fpu, kvm_stub_fsgs, kvm_stub_xgetbv, "
        "kvm_stub_load, kvm_stub_cpuid, kvm_stub_end");

uint64_t kvm_stub_entry(unsigned which)
{
    const uint8_t *at[KVM_STUB_COUNT] = {
        [KVM_STUB_FPU] = kvm_stub_fpu,       [KVM_STUB_FSGS] = kvm_stub_fsgs,
        [KVM_STUB_XGETBV] = kvm_stub_xgetbv, [KVM_STUB_LOAD] = kvm_stub_load,
        [KVM_STUB_CPUID] = kvm_stub_cpuid,
    };
    return KVM_STUB_VA + KVM_KP_STUB * PL_PAGE_SIZE + (uint64_t)(at[which] - kvm_stub_fpu);
}

struct kvm_gate {
    uint16_t offset_lo, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_hi, zero;
};

static void *image_page(struct kvm_platform *p, unsigned page)
{
    return p->kmem + (size_t)page * PL_PAGE_SIZE;
}

/* Only int3 and into may be called from ring 3 by number; all else is #GP. There is no 32-bit code
 * segment, so that compatibility mode cannot be entered. */
static void image_descriptors(struct kvm_platform *p)
{
    uint64_t *gdt = image_page(p, KVM_KP_DESC);
    gdt[KVM_SEL_KCODE / 8] = 0x00af9b000000ffffull;
    gdt[KVM_SEL_KCODE / 8 + 1] = 0x00cf93000000ffffull;
    gdt[KVM_SEL_UDATA / 8] = 0x00cff3000000ffffull;
    gdt[KVM_SEL_UCODE / 8] = 0x00affb000000ffffull;
    struct kvm_gate *idt = (struct kvm_gate *)((uint8_t *)gdt + 0x200);
    for (unsigned i = 0; i < 32; i++) {
        uint64_t h = KVM_KADDR(KVM_KP_CODE) + KVM_CODE_VECTORS + i;
        idt[i] = (struct kvm_gate){.offset_lo = (uint16_t)h,
                                   .selector = KVM_SEL_KCODE,
                                   .ist = 1,
                                   .type = i == 3 || i == 4 ? 0xee : 0x8e,
                                   .offset_mid = (uint16_t)(h >> 16),
                                   .offset_hi = (uint32_t)(h >> 32)};
    }
}

static void image_kernel_tables(struct kvm_platform *p)
{
    uint64_t *pdpt = image_page(p, KVM_KP_PDPT), *pd = image_page(p, KVM_KP_PD);
    uint64_t *pt = image_page(p, KVM_KP_PT);
    pdpt[510] = KVM_KP_PD * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_W;
    for (unsigned i = 0; i < 2; i++)
        pd[i] = (KVM_KP_PT + i) * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_W;
    const uint64_t rw = KVM_PTE_P | KVM_PTE_W | KVM_PTE_A | KVM_PTE_D | KVM_PTE_NX;
    pt[KVM_KP_DESC] = KVM_KP_DESC * PL_PAGE_SIZE | rw;
    pt[KVM_KP_CODE] = KVM_KP_CODE * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_A;
    for (unsigned i = 0; i < KVM_VCPU_MAX; i++)
        pt[KVM_KP_VCPU + i] = (KVM_KP_VCPU + i) * PL_PAGE_SIZE | rw;
}

static void image_stub_tree(struct kvm_platform *p)
{
    uint64_t *root = image_page(p, KVM_KP_STUB_ROOT), *pt = image_page(p, KVM_KP_STUB_PT);
    uint64_t *pd = image_page(p, KVM_KP_STUB_PD);
    root[511] = KVM_KP_PDPT * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_W;
    root[0] = KVM_KP_STUB_PDPT * PL_PAGE_SIZE | KVM_PTE_TABLE;
    ((uint64_t *)image_page(p, KVM_KP_STUB_PDPT))[0] =
        KVM_KP_STUB_PD * PL_PAGE_SIZE | KVM_PTE_TABLE;
    for (unsigned i = 0; i < 2; i++)
        pd[KVM_STUB_VA / (2u << 20) + i] = (KVM_KP_STUB_PT + i) * PL_PAGE_SIZE | KVM_PTE_TABLE;
    pt[KVM_KP_STUB] = KVM_KP_STUB * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_U;
    pt[KVM_KP_TRIAL] = KVM_KP_TRIAL * PL_PAGE_SIZE | KVM_PTE_TABLE | KVM_PTE_NX;
    for (unsigned i = KVM_KP_FPU; i < KVM_KP_FPU + 8 * KVM_VCPU_MAX; i++)
        pt[i] = i * PL_PAGE_SIZE | KVM_PTE_TABLE | KVM_PTE_NX;
}

void kvm_image_build(struct kvm_platform *p)
{
    uint8_t *code = image_page(p, KVM_KP_CODE);
    memset(code, 0xf4, PL_PAGE_SIZE);
    memcpy(code, kvm_kcode_begin, (size_t)(kvm_kcode_end - kvm_kcode_begin));
    memcpy(image_page(p, KVM_KP_STUB), kvm_stub_fpu, (size_t)(kvm_stub_end - kvm_stub_fpu));
    image_descriptors(p);
    image_kernel_tables(p);
    image_stub_tree(p);
}

/* TSS: rsp0 and IST1 lead to the same stack; the I/O bitmap lies beyond the limit, so every port
 * instruction of ring 3 is #GP. */
void kvm_image_vcpu(struct kvm_platform *p, unsigned index)
{
    uint8_t *page = image_page(p, KVM_KP_VCPU + index);
    uint64_t top = KVM_KADDR(KVM_KP_VCPU + index) + KVM_VP_STACK;
    memset(page, 0, PL_PAGE_SIZE);
    memcpy(page + 4, &top, 8);
    memcpy(page + 36, &top, 8);
    page[102] = 0x68;
}
