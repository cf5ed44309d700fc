# timeout: 120
cd /tmp
/usr/bin/python3 - <<'END'
import json, mmap, os, sqlite3, subprocess, sys, tempfile, threading, hashlib, queue, socket, select, struct, time
print(json.dumps({"a": [1, 2, {"b": None}], "c": "\u00e9"}, sort_keys=True))
lock, total = threading.Lock(), [0]
def work(n):
    for i in range(n):
        with lock:
            total[0] += i
ts = [threading.Thread(target=work, args=(2000,)) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print("threads", total[0])
q, out = queue.Queue(), []
def eat():
    while (x := q.get()) is not None:
        out.append(x * x)
t = threading.Thread(target=eat); t.start()
[q.put(i) for i in range(100)]; q.put(None); t.join()
print("queue", sum(out))
print(subprocess.run(["/bin/echo", "from", "child"], capture_output=True, text=True).stdout.strip())
print(subprocess.run("exit 7", shell=True).returncode, subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(len(p.communicate(b"x" * 1000000)[0]))
try:
    subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("timeout")
with tempfile.TemporaryDirectory() as d:
    db = sqlite3.connect(d + "/t.db")
    db.execute("create table t(a integer primary key, b text)")
    db.executemany("insert into t values(?,?)", [(i, str(i * i)) for i in range(1000)])
    db.commit()
    print(db.execute("select sum(a), max(length(b)), count(*) from t where b like '%4%'").fetchone())
    db.execute("pragma journal_mode=wal"); db.execute("delete from t where a % 2"); db.commit()
    print(db.execute("select count(*) from t").fetchone()); db.close()
    with open(d + "/m", "wb") as f:
        f.write(b"0123456789" * 1000)
    with open(d + "/m", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[10:14] = b"ABCD"; print(m.find(b"CD"), m[8:16], len(m)); m.flush()
    print(hashlib.md5(open(d + "/m", "rb").read()).hexdigest(), sorted(os.listdir(d)))
a, b = socket.socketpair(); a.sendall(b"ping"); print(b.recv(10)); a.close(); print(b.recv(10))
r, w = os.pipe(); pid = os.fork()
if pid == 0:
    os.write(w, b"child"); os._exit(9)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
t0 = time.monotonic(); time.sleep(0.05); print(0.05 <= time.monotonic() - t0 < 1)
print(os.path.exists("/proc/self/status"), len(os.urandom(16)), os.getcwd(), sys.version_info[0])
END
echo "python $?"
/usr/bin/python3 -c 'import sys; sys.exit(5)'; echo $?
/usr/bin/python3 -c 'raise SystemExit("msg")' 2>/dev/null; echo $?
/usr/bin/python3 -m json.tool <<<'{"k": [1,2]}'
