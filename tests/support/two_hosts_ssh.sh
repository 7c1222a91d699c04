#!/bin/sh
# Takes the part of ssh for a launcher, where a host is a network namespace of this machine: [-x] HOST COMMAND...
set -eu
if [ "$1" = -x ]; then
    shift
fi
host=$1
shift
exec ip netns exec "$host" sh -c "$*"
