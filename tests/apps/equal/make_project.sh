# timeout: 180
d=$(mktemp -d); cd $d || exit 1
for i in $(seq 1 24); do
    printf '#include <stdio.h>\n#include "p.h"\nint f%d(int x) { printf("f%d %%d\\n", x); return x + %d; }\n' $i $i $i >f$i.c
    echo "int f$i(int x);" >>p.h
done
{ echo '#include "p.h"'; echo 'int main(void) { int x = 0;'; for i in $(seq 1 24); do echo "x = f$i(x);"; done; echo 'return x & 127; }'; } >main.c
cat >Makefile <<'END'
SRC := $(wildcard *.c)
OBJ := $(SRC:.c=.o)
prog: $(OBJ)
	@$(CC) -o $@ $^
%.o: %.c p.h
	@$(CC) -O2 -c -o $@ $<
clean:
	@rm -f $(OBJ) prog
END
make -j2; echo "make $?"
./prog; echo "prog $?"
make -j2 | sed 's/\[[0-9]*\]//'
touch f3.c; make -n | grep -c 'f3.c'
make clean; ls | wc -l
cd /; rm -r $d
