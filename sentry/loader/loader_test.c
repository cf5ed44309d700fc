/* Made-up programs, good and broken, loaded on the recording platform. */
#include "loader/loader_priv.h"
#include "loader/loader_testlib.h"

#include "base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096ull

struct image { /* text page, then a page of data whose bss goes on for 2.5 pages */
    Elf64_Ehdr eh;
    Elf64_Phdr ph[4];
    char interp[32];
    char pad[PAGE - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr) - 32];
    char data[PAGE];
};

static struct image make(uint16_t type, uint64_t base, const char *interp)
{
    struct image i = {
        .eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
               .e_type = type,
               .e_machine = EM_X86_64,
               .e_version = EV_CURRENT,
               .e_entry = base + 0x200,
               .e_phoff = sizeof(Elf64_Ehdr),
               .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = interp ? 4 : 3},
        .ph = {{PT_LOAD, PF_R | PF_X, 0, base, base, PAGE, PAGE, PAGE},
               {PT_LOAD, PF_R | PF_W, PAGE, base + PAGE, base + PAGE, 0x800, 3 * PAGE, PAGE},
               {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16},
               {PT_INTERP, PF_R, offsetof(struct image, interp), 0, 0,
                interp ? strlen(interp) + 1 : 0, 0, 1}},
    };
    if (interp)
        strcpy(i.interp, interp);
    memset(i.data, 'd', sizeof(i.data));
    return i;
}

static uint64_t word(struct mm *mm, uint64_t va)
{
    uint64_t w;
    assert_int_equal(uaccess_read(mm, &w, uaddr(va), 8), 0);
    return w;
}

static void want_string(struct mm *mm, uint64_t va, const char *want)
{
    char got[64];
    assert_true(uaccess_read_str(mm, got, uaddr(va), sizeof(got)) >= 0);
    assert_string_equal(got, want);
}

static uint64_t auxv(struct mm *mm, uint64_t type)
{
    uint64_t words[64];
    unsigned n = mm_auxv_get(mm, words, 64);
    for (unsigned i = 0; i < n; i += 2)
        if (words[i] == type)
            return words[i + 1];
    return UINT64_MAX;
}

static void test_static(void **state)
{
    struct image i = make(ET_EXEC, 0x400000, NULL);
    struct loader_result r;
    world_add("/bin/prog", &i, sizeof(i));
    assert_int_equal(world_load("/bin/prog", &r), 0);
    assert_int_equal(r.entry, 0x400200);
    assert_string_equal(r.comm, "prog");
    uint8_t b;
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x4017ff), 1), 0);
    assert_int_equal(b, 'd');
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x401800), 1), 0);
    assert_int_equal(b, 0); /* bss, though the file goes on */
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x401fff), 1), 0);
    assert_int_equal(b, 0);
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x403fff), 1), 0);
    assert_int_equal(b, 0);
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x404000), 1), -EFAULT);
    uint64_t sp = r.stack_pointer;
    assert_int_equal(sp & 15, 0);
    assert_int_equal(word(r.mm, sp), 2);
    want_string(r.mm, word(r.mm, sp + 8), "/bin/prog");
    want_string(r.mm, word(r.mm, sp + 16), "arg");
    assert_int_equal(word(r.mm, sp + 24), 0);
    want_string(r.mm, word(r.mm, sp + 32), "A=b");
    assert_int_equal(word(r.mm, sp + 40), 0);
    assert_int_equal(word(r.mm, sp + 48), AT_SYSINFO_EHDR);
    assert_int_equal(auxv(r.mm, AT_PHDR), 0x400040);
    assert_int_equal(auxv(r.mm, AT_EUID), 2);
    assert_int_equal(auxv(r.mm, AT_ENTRY), 0x400200);
    want_string(r.mm, auxv(r.mm, AT_EXECFN), "/bin/prog");
    want_string(r.mm, auxv(r.mm, AT_PLATFORM), "x86_64");
    struct mm_layout l;
    mm_layout_get(r.mm, &l);
    assert_true(l.brk >= 0x404000 && l.brk < 0x404000 + (33 << 20));
    want_string(r.mm, l.arg_start, "/bin/prog");
    want_string(r.mm, l.env_start, "A=b");
    world_drop(&r);
    assert_int_equal(world_open_files(), 0);
}

static void test_dynamic(void **state)
{
    struct image i = make(ET_DYN, 0, "/lib/ld.so"), ld = make(ET_DYN, 0, NULL);
    struct loader_result r;
    world_add("/bin/dyn", &i, sizeof(i));
    world_add("/lib/ld.so", &ld, sizeof(ld));
    assert_int_equal(world_load("/bin/dyn", &r), 0);
    assert_int_equal(r.entry, auxv(r.mm, AT_BASE) + 0x200);
    assert_int_equal(auxv(r.mm, AT_PHDR) & 0xfff, 0x40);
    assert_int_equal(word(r.mm, auxv(r.mm, AT_BASE)) & 0xffffffff, 0x464c457f);
    world_drop(&r);
    ld.eh.e_machine = EM_386;
    assert_int_equal(world_load("/bin/dyn", &r), -ELIBBAD);
    world_add("/lib/other", &ld, sizeof(ld));
    strcpy(i.interp, "/lib/gone!");
    assert_int_equal(world_load("/bin/dyn", &r), -ENOENT);
    assert_int_equal(world_open_files(), 0);
}

/* A bss that ends inside the last file page: the page's rest is zero all the same. */
static void test_short_bss(void **state)
{
    struct image i = make(ET_EXEC, 0x400000, NULL);
    struct loader_result r;
    uint8_t b = 1;
    i.ph[1].p_memsz = 0x810;
    world_add("/bin/short", &i, sizeof(i));
    assert_int_equal(world_load("/bin/short", &r), 0);
    assert_int_equal(uaccess_read(r.mm, &b, uaddr(0x401fff), 1), 0);
    assert_int_equal(b, 0);
    world_drop(&r);
}

static int load_broken(struct image i)
{
    struct loader_result r;
    world_add("/bin/broken", &i, sizeof(i));
    int e = world_load("/bin/broken", &r);
    if (!e)
        world_drop(&r);
    assert_int_equal(world_open_files(), 0);
    return e;
}

static void test_broken(void **state)
{
    const struct image good = make(ET_EXEC, 0x400000, NULL);
    struct image i;
    assert_int_equal(load_broken(good), 0);
#define BROKEN(change)                                                                             \
    do {                                                                                           \
        i = good;                                                                                  \
        i.change;                                                                                  \
        assert_int_equal(load_broken(i), -ENOEXEC);                                                \
    } while (0)
    BROKEN(eh.e_ident[EI_CLASS] = ELFCLASS32);
    BROKEN(eh.e_machine = EM_386);
    BROKEN(eh.e_type = ET_CORE);
    BROKEN(eh.e_phentsize = 1);
    BROKEN(eh.e_phnum = 0);
    BROKEN(eh.e_phnum = 0xffff);
    BROKEN(eh.e_phoff = UINT64_MAX);
    BROKEN(eh.e_phoff = 1 << 30);
    BROKEN(ph[0].p_filesz = UINT64_MAX);
    BROKEN(ph[0].p_memsz = 1);
    BROKEN(ph[0].p_vaddr = UINT64_MAX - 100);
    BROKEN(ph[1].p_offset = PAGE + 1);
    BROKEN(ph[1].p_offset = UINT64_MAX - PAGE + 1);
    BROKEN(ph[1].p_vaddr = 1ull << 62);
    BROKEN(ph[0].p_vaddr = 0); /* page zero is not to be had */
    BROKEN(eh.e_entry = 1ull << 60);
    BROKEN(ph[1].p_filesz = 3 * PAGE - 8); /* the zeroing would lie behind the file's end */
    i = good;
    i.ph[1].p_memsz = 1ull << 46;
    assert_int_equal(load_broken(i), -ENOMEM);
    i = make(ET_EXEC, 0x400000, "/lib/ld.so");
    i.interp[10] = 'x';
    assert_int_equal(load_broken(i), -ENOEXEC);
}

static void add_script(const char *name, const char *text)
{
    world_add(name, text, strlen(text));
}

static void test_scripts(void **state)
{
    struct image i = make(ET_EXEC, 0x400000, NULL);
    struct loader_result r;
    char names[7][8];
    char lines[7][32];
    world_add("/bin/sh", &i, sizeof(i));
    add_script("/s", "#! /bin/sh  -x  y \t\nrest");
    assert_int_equal(world_load("/s", &r), 0);
    uint64_t sp = r.stack_pointer;
    assert_int_equal(word(r.mm, sp), 4);
    want_string(r.mm, word(r.mm, sp + 8), "/bin/sh");
    want_string(r.mm, word(r.mm, sp + 16), "-x  y");
    want_string(r.mm, word(r.mm, sp + 24), "/s");
    want_string(r.mm, word(r.mm, sp + 32), "arg");
    want_string(r.mm, auxv(r.mm, AT_EXECFN), "/s");
    assert_string_equal(r.comm, "s");
    world_drop(&r);
    /* /1 → /2 → … → /bin/sh: five are allowed. */
    for (int n = 0; n < 7; n++) {
        snprintf(names[n], sizeof(names[n]), "/%d", n);
        snprintf(lines[n], sizeof(lines[n]), n == 6 ? "#!/bin/sh\n" : "#!/%d\n", n + 1);
        if (n)
            add_script(names[n], lines[n]);
    }
    assert_int_equal(world_load("/2", &r), 0);
    world_drop(&r);
    assert_int_equal(world_load("/1", &r), -ELOOP);
    add_script("/s", "#!\n");
    assert_int_equal(world_load("/s", &r), -ENOEXEC);
    add_script("/s", "#!   ");
    assert_int_equal(world_load("/s", &r), -ENOEXEC);
    add_script("/s", "#!/gone\n");
    assert_int_equal(world_load("/s", &r), -ENOENT);
    add_script("/s", "#!/bin/sh");
    assert_int_equal(world_load("/s", &r), 0);
    world_drop(&r);
    add_script("/s", "plain text\n");
    assert_int_equal(world_load("/s", &r), -ENOEXEC);
    assert_int_equal(world_open_files(), 0);
}

static void test_script_lines(void **state)
{
    char head[SCRIPT_LINE], *name, *arg;
    memset(head, 'a', sizeof(head));
    memcpy(head, "#!/", 3);
    assert_int_equal(script_parse(head, &name, &arg), -ENOEXEC); /* a cut name */
    memset(head, 'a', sizeof(head));
    memcpy(head, "#!/x ", 5);
    assert_int_equal(script_parse(head, &name, &arg), 0); /* a cut argument is let pass */
    assert_string_equal(name, "/x");
    assert_int_equal(strlen(arg), SCRIPT_LINE - 6);
    memset(head, ' ', sizeof(head));
    memcpy(head, "#!", 2);
    assert_int_equal(script_parse(head, &name, &arg), -ENOEXEC);
}

static void test_strings(void **state)
{
    struct exec_strings s = {0};
    char *long_one = malloc(EXEC_STRING_MAX + 1), *argv[] = {long_one, NULL};
    memset(long_one, 'x', EXEC_STRING_MAX);
    long_one[EXEC_STRING_MAX] = 0;
    assert_int_equal(exec_strings_from_host(&s, argv, NULL), -E2BIG);
    long_one[EXEC_STRING_MAX - 1] = 0;
    assert_int_equal(exec_strings_from_host(&s, argv, NULL), 0);
    assert_int_equal(exec_strings_check(&s, 8 << 20), 0);
    assert_int_equal(exec_strings_check(&s, 0), -E2BIG); /* 128 KiB of string and a pointer */
    exec_strings_free(&s);
    free(long_one);
    struct mm *mm;
    uint64_t va, ptrs[3];
    assert_int_equal(mm_create(&g_fake, &mm), 0);
    va = fake_mmap(mm, PAGE, 3, 0x22);
    ptrs[0] = va + PAGE - 3;
    ptrs[1] = va + PAGE - 2;
    ptrs[2] = 0;
    assert_int_equal(uaccess_write(mm, uaddr(va + PAGE - 3), "hi", 3), 0);
    assert_int_equal(uaccess_write(mm, uaddr(va), ptrs, sizeof(ptrs)), 0);
    assert_int_equal(exec_strings_import(&s, mm, uaddr(va), uaddr(0)), 0);
    assert_int_equal(s.argc, 2);
    assert_memory_equal(s.data, "hi\0i", 5);
    exec_strings_free(&s);
    assert_int_equal(exec_strings_import(&s, mm, uaddr(0), uaddr(va)), 0);
    assert_int_equal(s.argc, 1);
    exec_strings_free(&s);
    assert_int_equal(exec_strings_import(&s, mm, uaddr(va + 8), uaddr(8)), -EFAULT);
    mm_put(mm);
}

static void on_fault(int sig, siginfo_t *si, void *uc)
{
    if (!uaccess_fixup(uc, (uint64_t)si->si_addr))
        abort();
}

static int catch_faults(void **state)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGBUS, &sa, NULL);
}

int main(void)
{
    world_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static),       cmocka_unit_test(test_dynamic),
        cmocka_unit_test_setup(test_broken, catch_faults),
        cmocka_unit_test(test_short_bss),    cmocka_unit_test(test_scripts),
            cmocka_unit_test(test_script_lines),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
