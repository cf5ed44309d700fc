# The mqueue filesystem shows the queues of its ipc namespace, and is another way to make and remove them.
exec unshare --mount --ipc sh -e <<'END'
mkdir -p mq
mount -t mqueue none mq
stat -f -c %t mq
stat -c '%a %F' mq
touch mq/qa
ls mq
cat mq/qa
stat -c '%a %s' mq/qa
python3 - <<'PY'
import ctypes, os
rt = ctypes.CDLL("librt.so.1", use_errno=True)
q = rt.mq_open(b"/qb", os.O_CREAT | os.O_RDWR, 0o640, None)
print(q >= 0, rt.mq_send(q, b"hello", 5, 3), sorted(os.listdir("mq")))
print(open("mq/qb").read().split()[0], oct(os.stat("mq/qb").st_mode))
os.unlink("mq/qb")
print(rt.mq_open(b"/qb", os.O_RDWR), ctypes.get_errno(), os.listdir("mq"))
PY
rm mq/qa
ls -A mq
umount mq
END
