# timeout: 60
for i in $(seq 300); do sleep 8 & done
jobs -r | wc -l
wait; echo "waited $?"
