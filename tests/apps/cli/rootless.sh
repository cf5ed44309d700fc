# timeout: 60
# An ordinary user runs a sandbox too (through a user namespace).
. "$TESTS/apps/cli/lib.bash" || exit 2
[ "$(id -u)" = 0 ] || { echo "not root: the other checks already run rootless"; exit 77; }
command -v setpriv >/dev/null || { echo "setpriv is not installed"; exit 77; }
chmod 755 "$tmp"
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp "$@"; }
as_user test -x "$RINGFENCE" || { echo "the build tree is not readable for other users"; exit 77; }
cd /
expect 0 '' as_user "$RINGFENCE" do --platform="$PLATFORM" -- /bin/echo rootless
equal "output" "$(cat "$tmp/out")" rootless
expect 0 '' as_user "$RINGFENCE" do --platform="$PLATFORM" -- bash -c 'cd /tmp && echo x >y && cat y && ls /usr | wc -l >/dev/null'
as_user "$RINGFENCE" do --platform="$PLATFORM" -- cat /etc/shadow >/dev/null 2>&1 && wrong "an ordinary user read /etc/shadow by way of the sandbox"
finish
