# platforms: systrap kvm
# timeout: 60
# The clock inside agrees with the clock outside to 0.1 %, over five seconds.
. "$TESTS/apps/cli/lib.bash" || exit 2
# The program writes its clocks each time it gets a line; the times outside are taken just before and after.
/usr/bin/python3 - "$RINGFENCE" "$PLATFORM" <<'END' || bad=1
import subprocess, sys, time
inside = ("$| = 1; while (<STDIN>) { printf \"%.6f %.6f\\n\", clock_gettime(CLOCK_MONOTONIC), clock_gettime(CLOCK_REALTIME) }")
p = subprocess.Popen([sys.argv[1], "do", "--platform=" + sys.argv[2], "--", "perl",
                      "-MTime::HiRes=clock_gettime,CLOCK_MONOTONIC,CLOCK_REALTIME", "-e", inside],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
out = open(p.stdout.fileno(), closefd=False)
def sample():
    best = None
    for _ in range(30):
        a = time.monotonic(); p.stdin.write(b"\n"); mono, real = map(float, out.readline().split()); b = time.monotonic()
        if best is None or b - a < best[0]:
            best = (b - a, (a + b) / 2, mono, real, time.time())
    return best
sample(); s = sample(); time.sleep(5); e = sample()
p.stdin.close(); p.wait()
outside, mono, real = e[1] - s[1], e[2] - s[2], e[3] - s[3]
ok = abs(mono / outside - 1) < 0.001 and abs(real / outside - 1) < 0.001 and abs(e[3] - e[4]) < 0.1
print(f"outside {outside:.6f} s, monotonic inside {mono:.6f}, realtime inside {real:.6f}, date differs {e[3] - e[4]:.3f} s", file=sys.stderr)
sys.exit(not ok)
END
finish
