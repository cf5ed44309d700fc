# platforms: systrap kvm
# timeout: 120
# Bad input gets a sentence and a status of its own: 125 our error, 126 not executable, 127 not found.
. "$TESTS/apps/cli/lib.bash" || exit 2
self="$RINGFENCE do --platform=$PLATFORM"
expect 127 'no-such-program' $self -- no-such-program
expect 127 '/no/such/path' $self -- /no/such/path
expect 126 '/tmp' $self -- /tmp
echo 'not executable' >"$tmp/plain"
expect 126 'plain' $self -- "$tmp/plain"
chmod +x "$tmp/plain"
expect 126 'plain' $self -- "$tmp/plain"
head -c 100 /bin/true >"$tmp/cut"; chmod +x "$tmp/cut"
expect 126 'cut' $self -- "$tmp/cut"
: >"$tmp/empty"; chmod +x "$tmp/empty"
expect 126 'empty' $self -- "$tmp/empty"
printf '#!/no/such/interpreter\n' >"$tmp/script"; chmod +x "$tmp/script"
expect 127 'script|interpreter' $self -- "$tmp/script"
# a 32-bit program: an ELF header of class 1, machine 3
printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\0\0\0\0\64\0\0\0\0\0\0\0\0\0\0\0\64\0\40\0\0\0\0\0\0\0\0\0' >"$tmp/i386"
head -c 4096 /dev/zero >>"$tmp/i386"; chmod +x "$tmp/i386"
expect 126 '32-bit|i386' $self -- "$tmp/i386"
expect 125 'no-such-flag' "$RINGFENCE" do --no-such-flag -- /bin/true
expect 125 'platform' "$RINGFENCE" do --platform=nonsense -- /bin/true
expect 125 '.' "$RINGFENCE" do --platform="$PLATFORM"
expect 125 '.' "$RINGFENCE" nonsense
expect 125 'rootfs|nowhere' "$RINGFENCE" run --platform="$PLATFORM" --rootfs /nowhere -- /bin/true
expect 125 'rootfs|plain' "$RINGFENCE" run --platform="$PLATFORM" --rootfs "$tmp/plain" -- /bin/true
mkdir "$tmp/emptyroot"
expect 127 '/bin/true' "$RINGFENCE" run --platform="$PLATFORM" --rootfs "$tmp/emptyroot" -- /bin/true
expect 125 'cwd|nowhere' $self --cwd /nowhere -- /bin/true
expect 125 'rw|nowhere' $self --rw /nowhere -- /bin/true
expect 0 '' $self -- /bin/true
expect 0 '' "$RINGFENCE" --help
expect 0 '' "$RINGFENCE" do --help
expect 0 '' "$RINGFENCE" --version
finish
