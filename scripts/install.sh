#!/bin/sh
# Installs the failover executable of this platform from a release, and links it as flopsy:
#
#   curl -fsSL https://raw.githubusercontent.com/failover/failover/main/scripts/install.sh | sh
#   ... | sh -s -- --version 0.1.0 --dir /opt/bin
#
# It needs no root. Nothing is put in place before its checksum was verified and it has run once; what
# is there already is replaced in one step, so that a running proxy is not disturbed. INSTALL_FROM in the
# environment names another place than GitHub's for the releases.
set -eu

releases=${INSTALL_FROM:-https://github.com/failover/failover/releases}
version=latest
folder=
work=
placed=

fail() {
  echo "install: $*" >&2
  exit 1
}

usage() {
  cat <<'END'
usage: install.sh [--version X.Y.Z] [--dir FOLDER]

  --version X.Y.Z  that release, not the latest
  --dir FOLDER     where to; by default ~/.local/bin, and /usr/local/bin for root
END
}

# All of it is in functions and called at the end, so that half a script does nothing.
main() {
  while [ $# -gt 0 ]; do
    case $1 in
      --version=* | --dir=*) set_option "${1%%=*}" "${1#*=}" ;;
      --version | --dir)
        [ $# -gt 1 ] || fail "$1 needs a value"
        set_option "$1" "$2"
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *)
        usage >&2
        fail "unknown argument $1"
        ;;
    esac
    shift
  done

  name=failover-$(platform)
  [ -n "$folder" ] || folder=$(default_folder)
  if [ "$version" = latest ]; then
    from=$releases/latest/download
  else
    from=$releases/download/v${version#v}
  fi
  trap clean_up EXIT
  trap 'exit 1' HUP INT TERM
  work=$(mktemp -d)
  install_from "$from" "$name"
}

set_option() {
  [ -n "$2" ] || fail "$1 needs a value"
  case $1 in
    --version) version=$2 ;;
    --dir) folder=$2 ;;
  esac
}

platform() {
  system=$(uname -s)
  machine=$(uname -m)
  case $system in
    Linux)
      # What the executables are linked to.
      if ldd --version 2>&1 | grep -qi musl; then
        fail "this system has musl, and the executables need glibc: use the container image"
      fi
      system=linux
      ;;
    Darwin)
      # A shell under Rosetta says x86_64.
      if [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then machine=arm64; fi
      system=macos
      ;;
    *) fail "there is no executable for $system: run it from source with Deno" ;;
  esac
  case $machine in
    x86_64 | amd64) echo "$system-x86_64" ;;
    aarch64 | arm64) echo "$system-aarch64" ;;
    *) fail "there is no executable for the $machine processor: run it from source with Deno" ;;
  esac
}

default_folder() {
  if [ "$(id -u)" = 0 ]; then
    echo /usr/local/bin
  else
    [ -n "${HOME:-}" ] || fail "HOME is not set: say where to with --dir"
    echo "$HOME/.local/bin"
  fi
}

install_from() {
  download "$1/SHA256SUMS" "$work/sums"
  wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  $2\$/\1/p" "$work/sums")
  [ -n "$wanted" ] || fail "$1/SHA256SUMS has no sum of $2"

  mkdir -p "$folder" || fail "cannot make $folder: choose another with --dir"
  target=$folder/failover
  if [ -f "$target" ] && [ "$(sum_of "$target")" = "$wanted" ]; then
    echo "$target is up to date"
  else
    # In the same folder, so that it can be moved into place in one step.
    placed=$folder/.failover.$$
    download "$1/$2" "$placed"
    found=$(sum_of "$placed")
    [ "$found" = "$wanted" ] || fail "the checksum of $1/$2 is wrong:
  expected $wanted
  found    $found"
    chmod 755 "$placed"
    says=$("$placed" --version) || fail "$2 does not run on this system"
    mv -f "$placed" "$target"
    echo "installed $says as $target"
  fi

  if [ -e "$folder/flopsy" ] && [ ! -L "$folder/flopsy" ]; then
    echo "$folder/flopsy is another program and was left alone"
  else
    ln -sf failover "$folder/flopsy"
  fi
  case ":$PATH:" in
    *":$folder:"*) ;;
    *) echo "$folder is not in PATH: add it, or call $target" ;;
  esac
}

download() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL -o "$2" "$1" || fail "cannot download $1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -O "$2" "$1" || fail "cannot download $1"
  else
    fail "neither curl nor wget is installed"
  fi
}

sum_of() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum "$1"
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 "$1"
  else
    openssl dgst -sha256 -r "$1"
  fi | cut -d ' ' -f 1
}

# shellcheck disable=SC2317 # the trap calls it
clean_up() {
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$placed" ] || rm -f "$placed"
}

main "$@"
