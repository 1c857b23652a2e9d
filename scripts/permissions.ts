/**
 * What the program may do, once: compiled binaries, the test harness and the documentation use this
 * list, and tests hold the `start` task and the README to it.
 */

const EVERYWHERE = [
  // What is not allowed is an error, also at a terminal.
  "--no-prompt",
  // All of its code is there when it starts.
  "--deny-import",
  "--allow-net",
  // Config, scripts, certificates, static backups.
  "--allow-read",
  // Unix sockets: they are files that are made and removed.
  "--allow-write",
  "--allow-env",
  // The operator's check and trigger programs, whatever they are called.
  "--allow-run",
  // Whether an upstream is an address of this machine on which the proxy itself listens.
  "--allow-sys=networkInterfaces",
] as const;

/** Flags for `deno run` and `deno compile`. Only the Linux relay engine calls into the C library. */
export function permissionsFor(os: string): readonly string[] {
  return os === "linux" ? [...EVERYWHERE, "--allow-ffi"] : EVERYWHERE;
}
