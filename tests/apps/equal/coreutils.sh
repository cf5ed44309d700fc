d=$(mktemp -d); cd $d || exit 1
echo a >a; ln a b; ln -s a c; cp -a c d; mv b e; stat -c '%n %h %s %A %F' *
mkdir -p x/y/z; touch x/y/z/f; cp -r x x2; find . | sort; rm -r x; ls
chmod 640 a; chmod u+s e; stat -c '%a %n' a e; umask 077; touch u; stat -c %a u
touch -d '2001-02-03 04:05:06 UTC' t; stat -c %Y t; date -u -r t +%FT%T
dd if=/dev/urandom of=r bs=1000 count=100 2>/dev/null; split -b 30000 r p.; cat p.* | cmp - r && echo same
truncate -s 1G sparse; du -k sparse | cut -f1; stat -c %s sparse
df . >/dev/null && echo df; readlink -f c | sed "s,$d,D,"; realpath x2/y/..| sed "s,$d,D,"; tee q <<<tee; sha256sum q; od -c q | head -1
sort -n <<<$'3\n1\n2' | uniq -c; wc q; tac <<<$'1\n2'; comm <(echo a) <(echo b); nl q; fold -w 2 <<<abcdef; expr 3 \* 4; seq -s, 5
mkfifo ff; (echo through fifo >ff &); cat ff; test -p ff && echo fifo; install -m 711 a ii; stat -c %a ii
env -i A=1 env; id -u; whoami; uname -s -m; nproc >/dev/null && echo nproc; pwd | sed "s,$d,D,"; tty; echo "tty $?"
cat nothing 2>/dev/null; echo "$?"; rmdir x2 2>/dev/null; echo "$?"; mv nothing else 2>/dev/null; echo "$?"
printf 'x%.0s' {1..10}; echo; factor 360360; basename /a/b.c .c; mktemp -u XXXX | wc -c; shuf -i 1-5 | sort | paste -sd' '; sync; echo sync
cd /; rm -rf $d
