#!/bin/sh
# Check script for Redis: may the server at $1 (HOST:PORT) be used? Exit code 0 means yes.
# REDISCLI_AUTH holds the password, if there is one.
role=$(redis-cli -h "${1%:*}" -p "${1##*:}" role | head -n 1)

case $role in
  master) # Right for the one chosen last, and at the very first start; any other is an old master.
    [ -z "$FAILOVER_ACTIVE" ] || [ "$FAILOVER_ACTIVE" = "$1" ] && exit 0
    echo "$1 is a master, but $FAILOVER_ACTIVE was chosen last: stale primary" >&2
    exit 1 ;;
  slave) # A replica can take over from another server. The one that serves must be the master.
    [ -n "$FAILOVER_ACTIVE" ] || exit 1
    [ "$FAILOVER_ACTIVE" != "$1" ] || [ "$FAILOVER_PHASE" != serving ] ;;
  *) exit 1 ;;
esac
