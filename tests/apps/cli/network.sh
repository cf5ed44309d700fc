# platforms: systrap kvm
# timeout: 120
# --network: none has a loopback of its own, host uses the host's sockets in both directions, sandbox is refused.
. "$TESTS/apps/cli/lib.bash" || exit 2
cat >"$tmp/net.py" <<'PY'
import select, socket, sys, threading
def serve(kind):
    s = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    if kind == "tcp":
        s.listen(64)
    with open(sys.argv[3] + ".new", "w") as f:
        f.write(str(s.getsockname()[1]))
    __import__("os").rename(sys.argv[3] + ".new", sys.argv[3])
    if kind == "udp":
        data, peer = s.recvfrom(70000)
        s.sendto(b"%d bytes" % len(data), peer)
        return
    c, _ = s.accept()
    n = 0
    while True:
        d = c.recv(65536)
        if not d:
            break
        n += len(d)
    c.sendall(b"%d bytes" % n)
def client(kind, port):
    if kind == "udp":
        s = socket.socket(type=socket.SOCK_DGRAM)
        s.settimeout(20)
        s.sendto(b"x" * 60000, ("127.0.0.1", port))
        print(s.recv(100).decode())
        return
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    s.sendall(b"y" * 3000000)
    s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode())
def waits(port):   # non-blocking connect, epoll, many at once
    ep, socks = select.epoll(), {}
    for i in range(20):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        socks[s.fileno()] = s
        ep.register(s, select.EPOLLOUT)
    done = 0
    while socks:
        for fd, ev in ep.poll(20):
            s = socks[fd]
            if ev & select.EPOLLOUT and not ev & select.EPOLLIN:
                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                s.send(b"ping")
                ep.modify(s, select.EPOLLIN)
            if ev & select.EPOLLIN:
                assert s.recv(10) == b"pong"
                ep.unregister(s)
                socks.pop(fd).close()
                done += 1
    print(done, "answers")
def pong():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)
    with open(sys.argv[2] + ".new", "w") as f:
        f.write(str(s.getsockname()[1]))
    __import__("os").rename(sys.argv[2] + ".new", sys.argv[2])
    def one(c):
        c.recv(10)
        c.sendall(b"pong")
        c.close()
    for _ in range(20):
        threading.Thread(target=one, args=(s.accept()[0],)).start()
{"serve": lambda: serve(sys.argv[2]), "client": lambda: client(sys.argv[2], int(sys.argv[3])),
 "pong": pong, "waits": lambda: waits(int(sys.argv[2]))}[sys.argv[1]]()
PY
inside() { "$RINGFENCE" do --platform="$PLATFORM" --network=host --rw "$tmp" -- "$@"; }
port_of() { for _ in $(seq 200); do [ -s "$1" ] && { cat "$1"; return; }; sleep 0.05; done; echo 1; }
for kind in tcp udp; do
    want="3000000 bytes"; [ $kind = udp ] && want="60000 bytes"
    rm -f "$tmp/port"; python3 "$tmp/net.py" serve $kind "$tmp/port" & p=$!
    equal "$kind: from inside to a host server" "$(inside python3 "$tmp/net.py" client $kind $(port_of "$tmp/port"))" "$want"
    wait $p
    rm -f "$tmp/port"; inside python3 "$tmp/net.py" serve $kind "$tmp/port" & p=$!
    equal "$kind: from the host to a server inside" "$(python3 "$tmp/net.py" client $kind $(port_of "$tmp/port"))" "$want"
    wait $p
done
rm -f "$tmp/port"; python3 "$tmp/net.py" pong "$tmp/port" & p=$!
equal "20 connections by epoll" "$(inside python3 "$tmp/net.py" waits $(port_of "$tmp/port"))" "20 answers"
wait $p
rm -f "$tmp/port"; python3 "$tmp/net.py" serve tcp "$tmp/port" & p=$!
port=$(port_of "$tmp/port")
"$RINGFENCE" do --platform="$PLATFORM" -- python3 "$tmp/net.py" client tcp $port >/dev/null 2>"$tmp/err" && wrong "without --network a host server is reached"
grep -q "Connection refused" "$tmp/err" || wrong "without --network: $(tail -1 "$tmp/err")"
python3 "$tmp/net.py" client tcp $port >/dev/null; wait $p
equal "interfaces with --network=host" "$(inside python3 -c 'import socket; print(sorted(n for _, n in socket.if_nameindex()))')" \
    "$(python3 -c 'import socket; print(sorted(n for _, n in socket.if_nameindex()))')"
equal "interfaces without" "$("$RINGFENCE" do --platform="$PLATFORM" -- python3 -c 'import socket; print(socket.if_nameindex())')" "[(1, 'lo')]"
"$RINGFENCE" do --network=sandbox -- true 2>"$tmp/err"; equal "--network=sandbox" $? 125
grep -q "not there yet" "$tmp/err" || wrong "--network=sandbox says: $(cat "$tmp/err")"
n=$("$BUILD/rf-sentry" --print-seccomp | grep -cE '^[a-z_0-9]+ ')
m=$("$BUILD/rf-sentry" --print-seccomp --network=host | grep -cE '^[a-z_0-9]+ ')
[ $n -le 40 ] || wrong "the usual list has $n calls"
[ $((m - n)) -le 12 ] || wrong "the list for the host's network has $((m - n)) calls more"
finish
