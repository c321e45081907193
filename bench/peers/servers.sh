# shellcheck shell=bash
#
# The servers of the comparison: where they come from, and how one of them is
# started on a core of its own with the configuration NAME.conf beside this
# file. Sourced after env.sh.
#
#   CORE      the core that a server runs on, alone (0)
#
# A server is proxy_pass, mosquitto, nats, nchan or cometa. What cannot be had
# is named in "missing", with the reason.

# shellcheck disable=SC2154,SC2034 # of peers.sh, and for it

CORE=${CORE:-0}

peers=$root/bench/peers
unpacked=$root/build
modules=$unpacked/libnginx-mod-nchan/usr/lib/nginx/modules
mosquitto=$unpacked/mosquitto/usr/sbin/mosquitto
nats=$unpacked/nats-server/usr/sbin/nats-server
libraries=

declare -A missing=() version=()

server=                     # the process that was started
server_pids=                # and all there are


# fetch SERVER PACKAGE...: unpacked, not installed: some would start a server.
# The first package is the one with the version.

fetch() {
    local name=$1 package
    shift

    for package in "$@"; do
        if [ ! -e "$unpacked/$package/installed" ] \
           && ! "$root/tools/unpack.sh" "$package" >&2
        then
            missing[$name]="its Debian package $package cannot be fetched"
            return
        fi
    done

    version[$name]="$1 $(zcat "$unpacked/$1/usr/share/doc/$1"/changelog.D*.gz \
                         | sed -n '1s/.*(\(.*\)).*/\1/p')"
}


fetch_all() {
    local nginx

    nginx="nginx $("$nginx_binary" -v 2>&1 | sed 's|.*/||')"

    fetch mosquitto mosquitto libdlt2 libwrap0 libnsl2
    fetch nats nats-server
    fetch nchan libnginx-mod-nchan

    version[proxy_pass]=$nginx
    version[nchan]="$nginx, ${version[nchan]:-}"
    version[cometa]="$nginx, this module $commit"

    libraries=$(find "$unpacked"/{libdlt2,libwrap0,libnsl2} -name 'lib*.so.*' \
                    -printf '%h\n' 2>/dev/null | sort -u | paste -sd :) || true
}


# write_conf SERVER CLIENTS: with so many slots that nginx, which keeps 1/16 of
# them free, closes none

write_conf() {
    sed -e "s|@PORT@|$PORT|g" \
        -e "s|@UPSTREAM@|$((PORT + 2))|g" \
        -e "s|@DIR@|$dir|g" \
        -e "s|@MODULES@|$modules|g" \
        -e "s|@SLOTS@|$(($2 + $2 / 15 + 64))|g" \
        -e "s|@ZONE@|$((1024 + $2 / 8))k|g" \
        "$peers/$1.conf" > "$dir/server.conf"
}


children() {
    cat "/proc/$server/task/$server/children" 2>/dev/null
}


# serves SERVER: it listens, and nginx has its worker

serves() {
    [ -n "$(ss -Hltn "sport = :$PORT")" ] || return 1

    case $1 in
    mosquitto|nats) ;;
    *) [ -n "$(children)" ] ;;
    esac
}


# start SERVER CLIENTS: with room for so many

start() {
    local run

    write_conf "$1" "$2"
    : > "$dir/server.log"

    case $1 in
    mosquitto)
        run=(env "LD_LIBRARY_PATH=$libraries" "$mosquitto"
             -c "$dir/server.conf") ;;
    nats)
        run=(env GOMAXPROCS=1 "$nats" -c "$dir/server.conf") ;;
    *)
        run=("$nginx_binary" -e "$dir/server.log" -c "$dir/server.conf") ;;
    esac

    taskset -c "$CORE" "${run[@]}" >> "$dir/server.log" 2>&1 &
    server=$!

    for _ in $(seq 100); do
        if serves "$1"; then
            server_pids="$server $(children)"
            return 0
        fi

        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done

    end "$server"
    return 1
}


stop() {
    end "$server"
    server_pids=
}


# kB that the server's processes hold, without the pages of files: those are
# shared with whatever else runs

held_memory() {
    local pid

    for pid in $server_pids; do
        cat "/proc/$pid/smaps_rollup"
    done | awk '/^Pss_(Anon|Shmem):/ { kb += $2 } END { print kb }'
}


# busy_cores: of the server's core and of all others, so far: ticks busy and
# ticks in all

busy_cores() {
    awk -v own="cpu$CORE" '
        /^cpu[0-9]/ {
            all = $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9
            i = ($1 == own)
            busy[i] += all - $5 - $6
            total[i] += all
        }
        END { print busy[1], total[1], busy[0], total[0] }' /proc/stat
}
