# shellcheck shell=sh
# apt for the use of this tree alone; to be sourced, not run.
#
# private_apt DIR SUITE COMMAND...  runs apt-get with lists and cache under DIR,
# so that it needs no root and leaves the system's apt as it is.  SUITE "-"
# means the suites that the system itself is set up for; any other name means
# that suite alone, from the mirror that the system uses.

private_apt() {
    apt_dir=$1 apt_suite=$2
    shift 2

    mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" \
             "$apt_dir/empty"
    set -- -o Dir::State::lists="$apt_dir/lists" \
           -o Dir::Cache="$apt_dir/cache" \
           -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"

    if [ "$apt_suite" != - ]; then
        suite_sources "$apt_suite" > "$apt_dir/$apt_suite.list" || return 1
        set -- -o Dir::Etc::sourcelist="$apt_dir/$apt_suite.list" \
               -o Dir::Etc::sourceparts="$apt_dir/empty" "$@"
    fi

    LC_ALL=C apt-get -q "$@"
}


# The keyring is named because it may hold newer keys than apt trusts by itself.

suite_sources() {
    mirror=$(apt-get --print-uris update \
             | sed -n "s|^'\(.*\)/dists/[^/-]*/InRelease'.*|\1|p" | head -n 1)

    if [ -z "$mirror" ]; then
        echo "apt has no Debian mirror configured" >&2
        return 1
    fi

    signed="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    echo "deb $signed $mirror $1 main"
    echo "deb-src $signed $mirror $1 main"
}
