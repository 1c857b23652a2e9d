#!/bin/sh
# Check script for PostgreSQL: may the server at $1 (HOST:PORT) be used? Exit code 0 means yes.
# PGUSER, PGPASSFILE and the like are taken from the environment.
in_recovery=$(psql "host=${1%:*} port=${1##*:} dbname=postgres connect_timeout=2" \
  --no-psqlrc --no-password -Atc 'select pg_is_in_recovery()') || exit 1

case $in_recovery in
  f) # It takes writes. That is right for the one chosen last, and at the very first start. Any other
     # such server is an old primary that came back and doesn't know that it was replaced.
    [ -z "$FAILOVER_ACTIVE" ] || [ "$FAILOVER_ACTIVE" = "$1" ] && exit 0
    echo "$1 takes writes, but $FAILOVER_ACTIVE was chosen last: stale primary" >&2
    exit 1 ;;
  t) # A standby can take over from another server. The one that serves must take writes.
    [ -n "$FAILOVER_ACTIVE" ] || exit 1
    [ "$FAILOVER_ACTIVE" != "$1" ] || [ "$FAILOVER_PHASE" != serving ] ;;
  *) exit 1 ;;
esac
