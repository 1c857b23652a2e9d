/**
 * Whether the running process can be replaced where it is, and which program takes its place. The new process is a
 * child of the old one, which then ends: that must not end what both run in.
 */

/** What is known of this process. */
export interface Place {
  readonly os: string;
  /** Why descriptors cannot be handed over here; undefined if they can. */
  readonly unsupportedReason: string | undefined;
  readonly pid: number;
  readonly ppid: number;
  /** The name of the parent's program (`/proc/PID/comm`); empty if it cannot be read. */
  readonly parentName: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Programs that take the end of their child for the end of the service: they end the container, or start the service
 * once more beside the new process.
 */
const WAITS_FOR_CHILD =
  /^(tini|docker-init|dumb-init|catatonit|runsv|s6-supervise|supervisord|start-stop-daem)/;

/** Why this process cannot be replaced by an upgrade, for a person; undefined if it can. */
export function whyNotHere(
  { os, unsupportedReason, pid, ppid, parentName, env }: Place,
): string | undefined {
  if (os !== "linux") return `an upgrade in place needs Linux; on ${os} restart the proxy instead`;
  if (unsupportedReason !== undefined) {
    return `an upgrade in place needs the kernel's sockets: ${unsupportedReason}`;
  }
  if (pid === 1) {
    return "the proxy is process 1: the container would end with it; start a new container instead";
  }
  if (WAITS_FOR_CHILD.test(parentName)) {
    return `${parentName} (process ${ppid}) would take the end of this process for that of the service; ` +
      "restart it instead";
  }
  if (parentName === "systemd" && !env.NOTIFY_SOCKET) {
    return "systemd would end the new process together with this one: the unit needs Type=notify and " +
      "NotifyAccess=all";
  }
}

/** A program and its arguments. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
}

/** How the running process was started. */
export interface Started {
  /** True for a compiled executable. */
  readonly isStandalone: boolean;
  readonly execPath: string;
  /** Arguments of the proxy. */
  readonly args: readonly string[];
  /** The whole command line (`/proc/self/cmdline`). */
  readonly commandLine: readonly string[];
}

/**
 * The program that takes the place of this process, with the same arguments of the proxy. Without a `path` it is the
 * same one, in the version that its file has by now; under `deno run` with the same flags of Deno.
 */
export function successorOf(started: Started, path: string | undefined): CommandLine {
  const { isStandalone, execPath, args, commandLine } = started;
  if (path !== undefined) return { program: path, args };
  // The name of a running file that was replaced, as by a package manager (proc_pid_exe(5)).
  const program = execPath.replace(/ \(deleted\)$/, "");
  return { program, args: isStandalone ? args : commandLine.slice(1) };
}
