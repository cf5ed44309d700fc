# timeout: 60
head -c 100000000 /dev/zero | cat | md5sum
dd if=/dev/zero bs=1M count=100 2>/dev/null | wc -c
yes abcdefg | head -c 10000000 | tail -c 12 | cat
