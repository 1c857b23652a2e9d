#!/bin/sh
# Trigger script for Redis: make the server at $1 (HOST:PORT) take writes. A server that is the master
# already stays what it is.
redis-cli -h "${1%:*}" -p "${1##*:}" replicaof no one | grep -qx OK
