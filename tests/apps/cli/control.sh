# timeout: 300
# The control socket with real sandboxes: everything that can be asked, 50 times, then sudden deaths; nothing is left.
. "$TESTS/apps/cli/lib.bash" || exit 2
mounts=$(wc -l </proc/self/mountinfo)
timeout 290 "$BUILD/control_test" rounds 50 "$PLATFORM" || wrong "rounds: status $?"
equal "mounts" "$(wc -l </proc/self/mountinfo)" "$mounts"
finish
