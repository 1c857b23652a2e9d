#!/bin/sh
# Check script for PostgreSQL: is the server at $1 (HOST:PORT) the one to use?
# Exit code 0 means yes. PGUSER, PGPASSFILE and the like are taken from the environment.
in_recovery=$(psql "host=${1%:*} port=${1##*:} dbname=postgres connect_timeout=2" \
  --no-psqlrc --no-password -Atc 'select pg_is_in_recovery()') || exit 1

case $in_recovery in
  f) # It takes writes. That is right for the one in use, and at the very first start. Any other
     # such server is an old primary that came back and doesn't know that it was replaced.
    [ -z "$FAILOVER_ACTIVE" ] || [ "$FAILOVER_ACTIVE" = "$1" ] && exit 0
    echo "$1 takes writes, but $FAILOVER_ACTIVE was in use last: stale primary" >&2
    exit 1 ;;
  t) # A standby can take over from another server. One that is in use must take writes.
    [ -n "$FAILOVER_ACTIVE" ] && [ "$FAILOVER_ACTIVE" != "$1" ] ;;
  *) exit 1 ;;
esac
