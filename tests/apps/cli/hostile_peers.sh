# timeout: 300
# Peers of the control socket that send nonsense, ask much and read nothing, stall or crowd: others are served meanwhile.
. "$TESTS/apps/cli/lib.bash" || exit 2
timeout 290 "$BUILD/control_test" hostile "$PLATFORM" || wrong "hostile peers: status $?"
finish
