# platforms: systrap kvm
# timeout: 60
# A guest with CAP_SYS_TIME sets the wall clock of its sandbox: every reading, sleep and timer follows; the host's stays.
. "$TESTS/apps/cli/lib.bash" || exit 2
cat >"$tmp/set.py" <<'PY'
import ctypes, errno, os, struct, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *args)
    return r if r >= 0 else -ctypes.get_errno()
def spec(*v):
    return ctypes.create_string_buffer(b"".join(struct.pack("q", int(x)) for x in v))
SETTIME, GETTIME, NANOSLEEP, TFD_CREATE, TFD_SET, ADJTIMEX, GETTIMEOFDAY, TIME = 227, 228, 230, 283, 286, 159, 96, 201
def wall():
    b = ctypes.create_string_buffer(16)
    call(GETTIME, 0, b)
    s, ns = struct.unpack("qq", b.raw)
    return s + ns / 1e9
def check(what, ok):
    if not ok:
        print("bad:", what)
def near(a, b):
    return abs(a - b) < 5
start, mono = time.time(), time.monotonic()
fd = call(TFD_CREATE, 0, 0)
check("arm", call(TFD_SET, fd, 3, spec(0, 0, start + 50000, 0), None) == 0)
plain = call(TFD_CREATE, 0, 0)
call(TFD_SET, plain, 1, spec(0, 0, start + 5000, 0), None)
slept = []
t = threading.Thread(target=lambda: slept.append(call(NANOSLEEP, 0, 1, spec(start + 6000, 0), None)))
t.start()
time.sleep(0.2)
check("settime", call(SETTIME, 0, spec(start + 10000, 0)) == 0)
check("syscall", near(wall(), start + 10000))
check("vdso", near(time.time(), start + 10000))
check("time", near(call(TIME, None), start + 10000))
check("coarse", near(time.clock_gettime(5), start + 10000))
check("tai", near(time.clock_gettime(11), start + 10000 + round(time.clock_gettime(11) - time.time())))
check("monotonic", near(time.monotonic(), mono))
t.join(10)
check("absolute sleep ends", slept == [0])
try:
    os.read(fd, 8)
    check("cancelled read", False)
except OSError as e:
    check("ECANCELED", e.errno == errno.ECANCELED)
check("timer fired", struct.unpack("Q", os.read(plain, 8))[0] == 1)
open("/tmp/stamp", "w").close()
check("file time", near(os.stat("/tmp/stamp").st_mtime, start + 10000))
check("settimeofday", call(164, spec(start, 0), None) == 0 and near(time.time(), start))
tx = ctypes.create_string_buffer(208)
struct.pack_into("i", tx, 0, 0x100)
struct.pack_into("q", tx, 72, 777)
check("adjtimex offset", call(ADJTIMEX, tx) >= 0 and near(wall(), start + 777))
struct.pack_into("i", tx, 0, 0x8001)
struct.pack_into("q", tx, 8, 300000)
call(ADJTIMEX, tx)
struct.pack_into("i", tx, 0, 0xa001)
call(ADJTIMEX, tx)
check("slew is left", 0 < struct.unpack_from("q", tx, 8)[0] <= 300000)
check("too early", call(SETTIME, 0, spec(-1, 0)) == -errno.EINVAL)
check("nanoseconds", call(SETTIME, 0, spec(1, 10**9)) == -errno.EINVAL)
check("monotonic is not set", call(SETTIME, 1, spec(1, 0)) == -errno.EINVAL)
os.setuid(1000)
check("no right", call(SETTIME, 0, spec(start, 0)) == -errno.EPERM)
check("no right 2", call(164, spec(start, 0), None) == -errno.EPERM)
print("done")
PY
before=$(date +%s)
got=$(rf -- /usr/bin/python3 - <"$tmp/set.py" 2>&1)
[ "$got" = done ] || wrong "inside: $got"
after=$(date +%s)
[ $((after - before)) -lt 60 ] || wrong "the host's clock has moved"
finish
