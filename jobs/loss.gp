# Held-out loss against tokens; variables: out (path without ending), n (runs),
# heading, taught (1: the last block is the teacher's line).
set terminal pngcairo size 900,560 font ",11" noenhanced
set output out . ".png"
set title heading
set xlabel "training tokens"
set ylabel "held-out cross-entropy, nats per token"
set format x "%.1s%c"
set grid
set key top right
data = out . ".dat"
plot for [i=0:n-1] data index 2*i using 1:2 with lines lw 2 lc i+1 \
  title columnheader(1), \
  for [i=0:n-1] data index 2*i+1 using 1:2 with points pt 7 ps 1.5 lc i+1 \
  notitle, \
  for [i=0:taught-1] data index 2*n using 1:2 with lines lw 2 dt 2 lc "black" \
  title columnheader(1)
