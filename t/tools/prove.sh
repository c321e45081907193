#!/bin/bash
# prove.sh JOBS TEST...
#
# Runs the tests side by side, and those that failed once more, one by one and
# with nothing beside them: what is a matter of time on a busy machine passes
# then, what is wrong fails again. Both results are printed. Many failures are
# no accident, and are not tried again.

set -u

few=3
jobs=$1
shift

state=$(mktemp) || exit
trap 'rm -f "$state"' EXIT

prove -I t/lib -j "$jobs" --statefile="$state" --state=save "$@" && exit

mapfile -t failed < <(prove --dry --statefile="$state" --state=failed)

if [ ${#failed[@]} = 0 ] || [ ${#failed[@]} -gt $few ]; then
    exit 1
fi

printf '\nonce more, alone: %s\n' "${failed[*]}"
prove -I t/lib "${failed[@]}"
