# timeout: 120
# Nothing written inside appears outside, unless --rw; what is outside cannot be reached but as files.
. "$TESTS/apps/cli/lib.bash" || exit 2
echo original >"$tmp/keep"; mkdir "$tmp/dir"; echo x >"$tmp/dir/f"; before=$(find "$tmp" | sort | md5sum)
rf -- sh -c "echo changed >'$tmp/keep'; cat '$tmp/keep'; echo new >'$tmp/new'; rm -r '$tmp/dir'; mkdir /newdir; touch /etc/rf_new /usr/bin/rf_new;
    chmod 000 '$tmp/keep'; mv '$tmp/keep' '$tmp/kept'; ln -s x '$tmp/l'; rm -f /bin/true; : >/etc/passwd; ls '$tmp'" >"$tmp.out"
equal "seen inside" "$(tr '\n' ' ' <"$tmp.out")" "changed kept l new "
rm "$tmp.out"
equal "content outside" "$(cat "$tmp/keep")" original
equal "names outside" "$(find "$tmp" | sort | md5sum)" "$before"
for f in /newdir /etc/rf_new /usr/bin/rf_new; do [ -e $f ] && wrong "$f appeared outside"; done
[ -x /bin/true ] || wrong "/bin/true is gone"
grep -q root /etc/passwd || wrong "/etc/passwd was emptied"
rf --rw "$tmp/dir" -- sh -c "echo shared >'$tmp/dir/g'; rm '$tmp/dir/f'; mkdir '$tmp/dir/sub'; mv '$tmp/dir/g' '$tmp/dir/sub/h'; echo no >'$tmp/keep'"
equal "written by --rw" "$(cat "$tmp/dir/sub/h" 2>/dev/null)" shared
[ -e "$tmp/dir/f" ] && wrong "a file removed under --rw is still there"
equal "beside the --rw folder" "$(cat "$tmp/keep")" original
rf --ro "$tmp/dir" -- sh -c "touch '$tmp/dir/ro' 2>/dev/null && echo wrote" | grep -q wrote && wrong "a --ro folder could be written"
rf --ro "$tmp/dir:/mnt" -- cat /mnt/sub/h >"$tmp/o"
equal "--ro PATH:DEST" "$(cat "$tmp/o")" shared
equal "only our own processes" "$(rf -- sh -c 'ls /proc | grep -c "^[0-9]"' | awk '{ print ($1 < 6) }')" 1
sleep 77 & victim=$!
rf -- sh -c "kill -9 $victim" 2>/dev/null; kill -0 $victim || wrong "a host process could be killed"
kill $victim
equal hostname "$(rf --hostname boxed -- uname -n)" boxed
rf -- hostname changed-inside 2>/dev/null; [ "$(uname -n)" != changed-inside ] || wrong "the host's name changed"
equal cwd "$(cd "$tmp/dir" && rf -- pwd)" "$tmp/dir"
equal "--cwd" "$(rf --cwd /usr -- pwd)" /usr
equal "--env" "$(rf --env RF_X=1 -- sh -c 'echo $RF_X')" 1
equal "--uid" "$(rf --uid 1234 --gid 2345 -- sh -c 'echo $(id -u) $(id -g)')" "1234 2345"
rf --uid 1234 -- cat /etc/shadow >/dev/null 2>&1 && wrong "uid 1234 read /etc/shadow"
ln -s /etc/shadow "$tmp/dir/link"; ln -s ../../../../../etc "$tmp/dir/up"
equal "a symlink leads nowhere outside its root" "$("$RINGFENCE" run --platform="$PLATFORM" --rootfs "$tmp/dir" -- /link 2>&1 | grep -c root:)" 0
finish
