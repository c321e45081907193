# shellcheck shell=bash
#
# What the comparison found, from one line for each measurement in
# rounds.csv: medians, as tables, CSV, JSON and plots in RESULTS.
# Sourced by peers.sh, whose variables these are.

# shellcheck disable=SC2154

columns=case,phase,round,calls_s,us_cpu,server,core,clients,p50,p99,max,unsent
columns+=,bytes


# medians of the rounds; of "max" the largest, of "unsent" the sum

summarise() {
    {
        echo "${columns/round/rounds}"
        tail -n +2 "$dir/rounds.csv" | awk -F , -v OFS=, '
            function median(key, n,    i, j, v, list) {
                for (i = 1; i <= n; i++) {
                    v = value[key, i]
                    for (j = i; j > 1 && list[j - 1] > v; j--) {
                        list[j] = list[j - 1]
                    }
                    list[j] = v
                }
                return (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2
            }
            {
                row = $1 OFS $2
                if (!(row in rounds)) {
                    order[++rows] = row
                }
                rounds[row]++
                for (i = 4; i <= NF; i++) {
                    if ($i == "") {
                        continue
                    }
                    key = row SUBSEP i
                    value[key, ++count[key]] = $i + 0
                    sum[key] += $i
                    if ($i + 0 > top[key] + 0) {
                        top[key] = $i
                    }
                }
            }
            END {
                for (r = 1; r <= rows; r++) {
                    line = order[r] OFS rounds[order[r]]
                    for (i = 4; i <= 13; i++) {
                        key = order[r] SUBSEP i
                        n = count[key]
                        v = ""
                        if (n) {
                            v = i == 11 ? top[key] \
                                : i == 12 ? sum[key] : median(key, n)
                        }
                        line = line OFS v
                    }
                    print line
                }
            }'
    } > "$RESULTS/peers.csv"
}


# value CASE PHASE COLUMN, or "-"

value() {
    awk -F , -v c="$1" -v p="$2" -v name="$3" '
        NR == 1 { for (i = 1; i <= NF; i++) { if ($i == name) { at = i } } }
        NR > 1 && $1 == c && $2 == p { found = $at }
        END { print found == "" ? "-" : found }' "$RESULTS/peers.csv"
}


# table PHASE COLUMN:TITLE:FORMAT...

table() {
    local phase=$1 case spec name title format v
    shift

    printf '  %-24s' ""

    for spec in "$@"; do
        IFS=: read -r _ title _ <<< "$spec"
        printf ' %9s' "$title"
    done

    echo

    for case in "${cases[@]}"; do
        printf '  %-24s' "${label[$case]}"

        for spec in "$@"; do
            IFS=: read -r name _ format <<< "$spec"
            v=$(value "$case" "$phase" "$name")

            if [ "$v" != - ]; then
                # shellcheck disable=SC2059 # the format is one of ours
                v=$(printf "$format" "$v")
            fi

            printf ' %9s' "$v"
        done

        echo
    done

    echo
}


print_header() {
    local name

    echo "date: $date"
    echo "CPU: $cpu_model, $(nproc --all) cores"
    echo "kernel: $(uname -sr)"
    echo "commit: $commit"

    for name in proxy_pass mosquitto nats nchan cometa; do
        [ -n "${missing[$name]:-}" ] || echo "$name: ${version[$name]}"
    done

    echo
    echo "$SIZE bytes each way, $DEVICES devices, $CALLERS callers with a" \
        "connection and a"
    echo "device of their own each; the server on core $CORE alone, its" \
        "clients on the others;"
    echo "medians of $ROUNDS rounds of $DURATION s"
    echo
}


print_faults() {
    local name

    for name in "${!missing[@]}"; do
        echo "NOT MEASURED: $name: ${missing[$name]}"
    done

    for name in "${!failed[@]}"; do
        echo "FAILED: $name: ${failed[$name]}"
    done
}


print_tables() {
    local used=(us_cpu:us\ CPU:%.1f server:server%:%.0f core:core%:%.0f
                clients:clients%:%.0f)

    echo "flat out, one call at a time for each caller"
    table saturated calls_s:calls/s:%.0f "${used[@]}"

    echo "flat out, $OUTSTANDING calls at a time for each caller"
    table outstanding calls_s:calls/s:%.0f "${used[@]}"

    echo "at $RATE calls/s; latency from the time a call was due, us"
    table paced us_cpu:us\ CPU:%.1f p50:p50:%.0f p99:p99:%.0f max:max:%.0f \
        unsent:unsent:%.0f

    echo "$IDLE idle devices: memory of the server for each"
    table idle bytes:bytes:%.0f

    echo "us CPU: of the server's processes for one call and its reply"
    echo "server: its share of one core; core: how busy all that ran made its"
    echo "core; clients: how busy the other cores were. Where core% is well"
    echo "below 100, the clients were the limit, and us CPU is the figure."
    echo
}


# the files as they are: @...@ is filled in

print_configurations() {
    local name

    for name in proxy_pass mosquitto nats nchan cometa; do
        echo "--- $name.conf"
        cat "$peers/$name.conf"
        echo
    done
}


quoted() {
    local text=${1//\\/\\\\}

    printf '"%s"' "${text//\"/\\\"}"
}


# object NAME...: of those in the associative array that "map" names

object() {
    local -n map=$1
    local name comma=
    shift

    for name in "$@"; do
        printf '%s%s:%s' "$comma" "$(quoted "$name")" \
            "$(quoted "${map[$name]}")"
        comma=,
    done
}


write_json() {
    {
        printf '{"date":%s,"cpu":%s,"cores":%d,"kernel":%s,"commit":%s,\n' \
            "$(quoted "$date")" "$(quoted "$cpu_model")" "$(nproc --all)" \
            "$(quoted "$(uname -sr)")" "$(quoted "$commit")"
        printf '"size":%d,"devices":%d,"callers":%d,"outstanding":%d,' \
            "$SIZE" "$DEVICES" "$CALLERS" "$OUTSTANDING"
        printf '"rate":%d,"idle":%d,"rounds":%d,"duration":%s,\n' \
            "$RATE" "$IDLE" "$ROUNDS" "$DURATION"
        printf '"versions":{%s},\n' "$(object version "${!version[@]}")"
        printf '"missing":{%s},\n' "$(object missing "${!missing[@]}")"
        printf '"failed":{%s},\n' "$(object failed "${!failed[@]}")"
        printf '"results":[\n'
        awk -F , '
            NR == 1 { for (i = 1; i <= NF; i++) { name[i] = $i } next }
            {
                printf "%s{\"%s\":\"%s\",\"%s\":\"%s\"",
                       (NR > 2 ? ",\n" : ""), name[1], $1, name[2], $2
                for (i = 3; i <= NF; i++) {
                    if ($i != "") {
                        printf ",\"%s\":%s", name[i], $i
                    }
                }
                printf "}"
            }' "$RESULTS/peers.csv"
        printf '\n]}\n'
    } > "$RESULTS/peers.json"
}


# bars FILE TITLE DATA COLUMNS: the data has a title for each column

bars() {
    gnuplot <<END
set terminal svg noenhanced size 960,420 font "sans-serif,12" \
    background "white"
set output "$1"
set title "$2"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set datafile missing "-"
set grid ytics
set yrange [0:*]
set key above
plot for [i=2:$4] "$3" using i:xtic(1) title columnheader(i)
END
}


write_plots() {
    local case

    {
        echo "case \"one at a time\" \"$OUTSTANDING at a time\" \"$RATE/s\""

        for case in "${cases[@]}"; do
            echo "\"${label[$case]}\" $(value "$case" saturated us_cpu)" \
                "$(value "$case" outstanding us_cpu)" \
                "$(value "$case" paced us_cpu)"
        done
    } > "$dir/cpu.dat"

    {
        echo "case bytes"

        for case in "${cases[@]}"; do
            echo "\"${label[$case]}\" $(value "$case" idle bytes)"
        done
    } > "$dir/memory.dat"

    bars "$RESULTS/peers-cpu.svg" \
        "CPU of the server for one call and its reply, microseconds" \
        "$dir/cpu.dat" 4
    bars "$RESULTS/peers-memory.svg" \
        "Memory of the server for an idle device, bytes" "$dir/memory.dat" 2
}


report() {
    mkdir -p "$RESULTS"
    cp "$dir/rounds.csv" "$RESULTS/peers-rounds.csv"
    summarise

    {
        print_header
        print_tables
        print_faults
        print_configurations
    } | tee "$RESULTS/peers.txt"

    write_json
    write_plots
}
