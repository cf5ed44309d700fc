# platforms: systrap kvm
# timeout: 300
# Damaged ELF files: whatever the damage, a clear status, and neither a crash of ours nor a hang.
. "$TESTS/apps/cli/lib.bash" || exit 2
patch() { # OFFSET HEXBYTES: writes a fresh copy of true with these bytes changed
    cp /bin/true "$tmp/t"
    printf "$2" | dd of="$tmp/t" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
try() {
    timeout 20 "$RINGFENCE" do --platform="$PLATFORM" -- "$tmp/t" >"$tmp/out" 2>"$tmp/err" </dev/null
    local st=$?
    [ $st = 124 ] && wrong "$1: hangs"
    [ $st = 125 ] && wrong "$1: our own error: $(head -c 200 "$tmp/err")"
    grep -qE 'Assertion|AddressSanitizer|runtime error|BUG|sentry died' "$tmp/err" && wrong "$1: $(head -c 300 "$tmp/err")"
}
ff='\xff\xff\xff\xff\xff\xff\xff\xff'
for off in 24 32 40; do patch $off "$ff"; try "header +$off all ones"; done
for off in 16 18 20 52 54 56; do patch $off '\xff\xff'; try "header +$off 0xffff"; patch $off '\0\0'; try "header +$off 0"; done
phoff=64
for n in 0 1 2 3 4 5 6; do
    for field in 0 4 8 16 32 40 48; do
        patch $((phoff + n * 56 + field)) "$([ $field -lt 8 ] && echo '\xff\xff\xff\xff' || echo "$ff")"
        try "program header $n +$field"
    done
done
patch $((phoff + 2 * 56 + 40)) '\0\0\0\0\0\0\0\x7f'; try "huge memsz"
patch $((phoff + 2 * 56 + 8)) '\0\xf0\xff\xff\xff\x7f\0\0'; try "offset near the end of the world"
for size in 1 16 63 64 65 119 120 500 4095 4096 4097 20000; do
    head -c $size /bin/true >"$tmp/t"; chmod +x "$tmp/t"; try "cut at $size"
done
for seed in 1 2 3 4 5 6 7 8; do
    cp /bin/true "$tmp/t"
    perl -e 'srand shift; open F, "+<", shift; for (1..20) { seek F, int(rand 1024), 0; print F chr rand 256 }' $seed "$tmp/t"
    try "random damage $seed"
done
finish
