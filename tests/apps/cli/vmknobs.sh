# platforms: systrap kvm
# timeout: 60
# What is written to /proc/sys/vm is obeyed: the modes of overcommit, the number of mappings. Outside it would be the host's.
. "$TESTS/apps/cli/lib.bash" || exit 2
cat >"$tmp/vm.py" <<'PY'
import mmap
def knob(name, value):
    with open("/proc/sys/vm/" + name, "w") as f:
        f.write(str(value))
def meminfo(name):
    return next(int(l.split()[1]) * 1024 for l in open("/proc/meminfo") if l.startswith(name + ":"))
kept = []
def may_map(size, keep=False, prot=mmap.PROT_READ | mmap.PROT_WRITE):
    try:
        m = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=prot)
    except OSError:
        return False
    if keep:
        kept.append(m)
    else:
        m.close()
    return True
def check(what, ok):
    if not ok:
        print("bad:", what)
total = meminfo("MemTotal")
check("guess refuses what never fits", not may_map(3 * total))
check("guess allows the rest", may_map(total // 2))
knob("overcommit_memory", 1)
check("always", may_map(3 * total))
knob("overcommit_memory", 2)
knob("overcommit_ratio", 50)
limit, used = meminfo("CommitLimit"), meminfo("Committed_AS")
check("the limit is half", abs(limit - total // 2) < total // 100)
check("beyond the limit", not may_map(limit + (1 << 20)))
check("below the limit", may_map((limit - used) // 2, keep=True))
check("is counted", meminfo("Committed_AS") >= used + (limit - used) // 2 - (1 << 20))
check("what is left is less", not may_map((limit - used) // 4 * 3))
kept.clear()
check("is given back", meminfo("Committed_AS") < used + (1 << 20))
knob("overcommit_memory", 0)
knob("max_map_count", 150)
n = 0
while n < 300 and may_map(4096, keep=True, prot=mmap.PROT_READ | n % 2 * mmap.PROT_WRITE):
    n += 1
knob("max_map_count", 65530)
check("the number of mappings", n <= 150)
for bad in (3, -1, "x"):
    try:
        knob("overcommit_memory", bad)
        print("bad: value accepted")
    except OSError:
        pass
print("done")
PY
got=$(rf -- /usr/bin/python3 - <"$tmp/vm.py" 2>&1)
[ "$got" = done ] || wrong "inside: $got"
finish
