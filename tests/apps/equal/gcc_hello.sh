# timeout: 120
d=$(mktemp -d); cd $d || exit 1
cat >h.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int argc, char **argv)
{
    int v[1000];
    unsigned x = 1;
    for (int i = 0; i < 1000; i++)
        v[i] = (x = x * 1103515245u + 12345u) >> 16 & 0x7fff;
    qsort(v, 1000, sizeof(int), cmp);
    printf("%d %d %d %s\n", v[0], v[500], v[999], argc > 1 ? argv[1] : "none");
    return v[3] & 63;
}
END
gcc -O2 -Wall -o h h.c; echo "gcc $?"
./h arg; echo "h $?"
gcc -O2 -S -o - h.c | md5sum
gcc -O2 -static -o hs h.c && ./hs; echo "hs $?"
echo 'int main(void) { return undeclared; }' >bad.c
gcc bad.c 2>/dev/null; echo "bad $?"
cd /; rm -r $d
