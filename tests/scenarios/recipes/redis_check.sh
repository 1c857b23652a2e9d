#!/bin/sh
# Check script for Redis: is the server at $1 (HOST:PORT) the one to use? Exit code 0 means yes.
# REDISCLI_AUTH holds the password, if there is one.
role=$(redis-cli -h "${1%:*}" -p "${1##*:}" role | head -n 1)

case $role in
  master) # Right for the one in use, and at the very first start; any other is an old primary.
    [ -z "$FAILOVER_ACTIVE" ] || [ "$FAILOVER_ACTIVE" = "$1" ] && exit 0
    echo "$1 is a master, but $FAILOVER_ACTIVE was in use last: stale primary" >&2
    exit 1 ;;
  slave) # A replica can take over from another server.
    [ -n "$FAILOVER_ACTIVE" ] && [ "$FAILOVER_ACTIVE" != "$1" ] ;;
  *) exit 1 ;;
esac
