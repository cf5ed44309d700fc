# timeout: 400
# 200 runs, some killed with SIGKILL in the middle, leave no process, no mount and no file.
. "$TESTS/apps/cli/lib.bash" || exit 2
ours() { descendants "$PPID" | grep -vE "^$$ | (bash|ps|awk|grep|wc)$" | wc -l; }
mounts=$(wc -l </proc/self/mountinfo)
files() { { ls -A /tmp /run /dev/shm /var/run 2>/dev/null; ls -AR /run/ringfence /run/user/*/ringfence 2>/dev/null; } | grep -iE 'ringfence|^rf-' | sort; }
before=$(files); procs=$(ours)
for i in $(seq 200); do
    case $((i % 5)) in
    0) "$RINGFENCE" do --platform="$PLATFORM" -- sh -c 'sleep 30 & sleep 30 & while :; do :; done' >/dev/null 2>&1 & p=$!
       sleep 0.0$((i % 9 + 1)); kill -9 $p; wait $p 2>/dev/null ;;
    1) "$RINGFENCE" do --platform="$PLATFORM" -- sleep 30 >/dev/null 2>&1 & p=$!
       sleep 0.$((i % 3))5; kill -TERM $p; wait $p 2>/dev/null ;;
    2) timeout 20 "$RINGFENCE" do --platform="$PLATFORM" -- sh -c 'sleep 50 & echo done' >/dev/null 2>&1 || wrong "run $i: status $?" ;;
    *) timeout 20 "$RINGFENCE" do --platform="$PLATFORM" -- /bin/true || wrong "run $i: status $?" ;;
    esac
done
for _ in $(seq 40); do [ "$(ours)" -le "$procs" ] && break; sleep 0.1; done
[ "$(ours)" -le "$procs" ] || wrong "processes are left: $(descendants "$PPID" | head -5 | tr '\n' ';')"
equal "mounts" "$(wc -l </proc/self/mountinfo)" "$mounts"
"$RINGFENCE" ps >/dev/null # what killed launchers left registered goes with the next look
for s in /run/ringfence/*.sock; do
    s=${s##*/}; s=${s%.sock}
    case $s in *[!0-9]*) ;; *) [ -d "/proc/$s" ] || wrong "a registration is left: $s" ;; esac
done
equal "files" "$(files)" "$before"
finish
