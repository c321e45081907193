# The plot of limit.sh: memory, and latency of calls, over devices. Runs in
# the directory of the results.

set datafile separator ','
set terminal svg size 800,720 font 'sans-serif,13' background '#ffffff'
set output 'limit.svg'
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set format x '%.0f'
set xlabel 'devices'
set xrange [0:*]
set yrange [0:*]
set lmargin 10
set style data linespoints

blue = '#1f6feb'; orange = '#d9730d'; gray = '#8b949e'

set multiplot layout 2,1


set title 'Memory'
set ylabel 'MiB'
set key top right
plot 'limit.csv' every ::1 using 1:($3 / 1024) lw 2 pt 7 ps 0.4 \
         lc rgb orange title 'left', \
     '' every ::1 using 1:($6 / 1024) lw 2 pt 7 ps 0.4 \
         lc rgb gray title 'slab of the kernel, both ends', \
     '' every ::1 using 1:($7 / 1024) lw 2 pt 7 ps 0.4 \
         lc rgb blue title 'nginx, all processes'


# with no devices there are no calls

set title 'Latency of calls to any of all devices'
set ylabel 'ms'
set key top left
plot 'limit.csv' every ::2 using 1:9 lw 2 pt 7 ps 0.4 \
         lc rgb orange title '99 %', \
     '' every ::2 using 1:8 lw 2 pt 7 ps 0.4 lc rgb blue title 'median'

unset multiplot
