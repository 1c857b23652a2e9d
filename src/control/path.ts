/** Where the control socket is. */

const FILE = "failover.sock";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Where the control socket is if no option says: in the folder that systemd made for the service, in that of
 * the user's session, or in `/run/failover`. Undefined on Windows, whose unix sockets Deno does not have.
 */
export function defaultControlPath(env: Env, os: string): string | undefined {
  return controlPlaces(env, os)[0];
}

/** Where a command looks for the control socket, in this order: the proxy may have another environment. */
export function controlPlaces(env: Env, os: string): readonly string[] {
  if (os === "windows") return [];
  // systemd separates several folders by colons (systemd.exec(5)).
  const folders = [env.RUNTIME_DIRECTORY?.split(":")[0], env.XDG_RUNTIME_DIR, "/run/failover"];
  return folders.flatMap((folder) => folder ? [`${folder}/${FILE}`] : []);
}
