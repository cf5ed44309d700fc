stat -c '%n %F %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom
head -c 5 /dev/zero | od -An -tx1; head -c 100 /dev/urandom | wc -c; cat /dev/null | wc -c
echo x >/dev/null; echo $?; echo x 2>&1 >/dev/full; echo $?
echo via stdin | cat /dev/stdin; echo err >/dev/stderr; (echo out >/dev/stdout) | cat; ls /dev/fd | wc -l | awk '{ print ($1 >= 3) }'
test -c /dev/tty && echo tty; (: </dev/tty) 2>/dev/null; echo "no tty $?"; test -c /dev/ptmx && echo ptmx; test -d /dev/pts && echo pts; test -d /dev/shm && echo shm
echo shm >/dev/shm/rf_$$; cat /dev/shm/rf_$$; rm /dev/shm/rf_$$
