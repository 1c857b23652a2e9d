#!/bin/sh
# Trigger script for PostgreSQL: make the server at $1 (HOST:PORT) take writes. Clients wait until this
# has ended. A server that takes writes already is left alone.
psql "host=${1%:*} port=${1##*:} dbname=postgres connect_timeout=5" --no-psqlrc --no-password -Atc \
  "select case when pg_is_in_recovery() then pg_promote(true, 60) else true end" | grep -qx t
