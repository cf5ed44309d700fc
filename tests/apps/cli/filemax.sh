# timeout: 60
# fs.file-max binds ordinary users with ENFILE, not the administrator; fs.file-nr counts. (On a host this would bind everybody.)
. "$TESTS/apps/cli/lib.bash" || exit 2
got=$(rf -- python3 -c '
import os, errno
count, _, top = open("/proc/sys/fs/file-nr").read().split()
print(0 < int(count) < 1000, top)
open("/proc/sys/fs/file-max", "w").write("2")
os.close(os.open("/", os.O_RDONLY))
os.setresuid(1000, 1000, 1000)
try:
    os.open("/", os.O_RDONLY)
except OSError as e:
    print(errno.errorcode[e.errno])' 2>&1)
equal output "$got" "$(printf 'True 9223372036854775807\nENFILE')"
finish
