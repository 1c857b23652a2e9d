/** Where the control socket is. */

const FILE = "failover.sock";

/**
 * Where the control socket is if no option says: in the folder that systemd made for the service, in that of
 * the user's session, or in `/run/failover`. Undefined on Windows, whose unix sockets Deno does not have.
 */
export function defaultControlPath(
  env: Readonly<Record<string, string | undefined>>,
  os: string,
): string | undefined {
  if (os === "windows") return undefined;
  // systemd separates several folders by colons (systemd.exec(5)).
  const runtime = env.RUNTIME_DIRECTORY?.split(":")[0];
  if (runtime) return `${runtime}/${FILE}`;
  return env.XDG_RUNTIME_DIR ? `${env.XDG_RUNTIME_DIR}/${FILE}` : `/run/failover/${FILE}`;
}
