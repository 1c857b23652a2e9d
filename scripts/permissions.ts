/**
 * The permissions of the program, in one place: compiled executables and the test harness use this list, and
 * tests compare the `start` task and the documentation with it.
 */

const EVERYWHERE = [
  // A missing permission is an error and never a question, even on a terminal.
  "--no-prompt",
  // All code is present at the start; nothing is downloaded.
  "--deny-import",
  "--allow-net",
  // Config, scripts, certificates, static backups.
  "--allow-read",
  // Unix sockets are files, which are created and removed.
  "--allow-write",
  "--allow-env",
  // The operator's check and trigger programs, which may have any name.
  "--allow-run",
  // To detect an upstream that is the proxy's own listening address.
  "--allow-sys=networkInterfaces",
] as const;

/** Flags for `deno run` and `deno compile`. Only the Linux relay engine calls into the C library. */
export function permissionsFor(os: string): readonly string[] {
  return os === "linux" ? [...EVERYWHERE, "--allow-ffi"] : EVERYWHERE;
}
