# The plots of seed.sh: cases is the list of directories. Runs in the directory
# of the results.

set datafile separator ','
set terminal svg size 800,420 font 'sans-serif,13' background '#ffffff'
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key top right

blue = '#1f6feb'; orange = '#d9730d'; gray = '#8b949e'
last = word(cases, words(cases))


# latency as in 2015 and here; at the top are the largest values

set output 'compare.svg'
set title 'Latency of a call at the server, by case'
set ylabel 'ms'
set logscale y
set yrange [0.02:3000]
set xrange [-0.6:words(cases) - 0.4]
set style fill solid
set boxwidth 0.3
set key top left
plot 'compare.csv' every ::1 using ($0 - 0.17):2:xtic(1) with boxes \
         lc rgb gray title '2015, mean', \
     '' every ::1 using ($0 - 0.17):3 with points pt 9 lc rgb gray \
         title '2015, maximum', \
     '' every ::1 using ($0 + 0.17):4 with boxes lc rgb blue \
         title 'here, mean', \
     '' every ::1 using ($0 + 0.17):5 with points pt 9 lc rgb blue \
         title 'here, maximum'

unset logscale
set key top right


# latency over time of the largest case

set output 'latency.svg'
set title 'Latency over time, case ' . last
set xlabel 'seconds'
set ylabel 'ms'
set autoscale
set yrange [0:*]
start = real(system("sed -n 2p '" . last . "/samples.csv' | cut -d, -f1"))
samples = last . '/samples.csv'
plot samples every ::2 using ($1 - start):12 with lines lw 2 \
         lc rgb orange title 'maximum', \
     samples every ::2 using ($1 - start):15 with lines lw 2 \
         lc rgb blue title '99 %', \
     samples every ::2 using ($1 - start):14 with lines lw 2 \
         lc rgb gray title 'median'


# memory over devices

set output 'memory.svg'
set title 'Memory over devices, case ' . last
set xlabel 'devices'
set ylabel 'MB'
set format x '%.0f'
set key top left
memory = last . '/memory.csv'
slab = real(system("sed -n 2p '" . memory . "' | cut -d, -f6"))
plot memory every ::1 using 2:(($6 - slab) * 1.024e-3) with linespoints \
         lw 2 pt 7 ps 0.4 lc rgb gray title 'slab of the kernel, both ends', \
     memory every ::1 using 2:($3 * 1.024e-3) with linespoints \
         lw 2 pt 7 ps 0.4 lc rgb blue title 'nginx, all processes', \
     memory every ::1 using 2:($5 * 1.024e-3) with linespoints \
         lw 2 pt 7 ps 0.4 lc rgb orange title 'its page tables'


# attached devices over time

set output 'attach.svg'
set title 'Devices attached, case ' . last
set xlabel 'seconds'
set ylabel 'devices'
set format x '%g'
set format y '%.0f'
plot last . '/attach.csv' every ::1 using 1:2 with lines lw 2 \
         lc rgb blue notitle
