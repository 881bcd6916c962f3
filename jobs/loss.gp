# Held-out loss against tokens; variables: out (path without ending), n (runs).
set terminal pngcairo size 900,560 font ",11"
set output out . ".png"
set xlabel "training tokens"
set ylabel "held-out cross-entropy, nats per token"
set format x "%.1s%c"
set grid
set key top right
plot for [i=0:n-1] out . ".dat" index i using 1:2 with linespoints lw 2 \
  title columnheader(1)
