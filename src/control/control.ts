/**
 * The control socket: where the commands of the operator reach a running proxy. Who may connect is decided by
 * the file's permissions, 0660 in a folder of 0750, and the kernel says which user has connected.
 */
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import { bind } from "../net/deno/bind.ts";
import { closeListener, serveListener } from "../net/deno/listener.ts";
import { listenLocally, type LocalListener } from "../net/linux/local_listener.ts";
import type { Acceptee, AcceptOptions } from "../net/transport.ts";

/** Permission bits of the socket: the user and the group of the proxy. */
const SOCKET_MODE = 0o660;
/** Permission bits of its folder, if the folder has to be made. */
const FOLDER_MODE = 0o750;

/**
 * Listens at `path` and serves the clients, or resolves with the reason why it cannot, such as
 * `process 42 listens there already`. Makes the folder if it is missing.
 */
export async function openControl(
  path: string,
  acceptee: Acceptee,
  { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
): Promise<LocalListener | string> {
  const folder = path.slice(0, Math.max(1, path.lastIndexOf("/")));
  try {
    if (path.includes("/")) await Deno.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    const isDenied = error instanceof Deno.errors.PermissionDenied;
    return `cannot make the folder ${folder}: ${isDenied ? "permission denied" : error}`;
  }
  const options: AcceptOptions = {
    clock,
    socketMode: SOCKET_MODE,
    onAcceptFailed: (error, retryInMs) =>
      publish({ type: "accept.failed", address: `unix:${path}`, reason: String(error), retryInMs }),
  };
  const listener = kernelUnsupportedReason() === undefined
    ? await listenWithKernel(path, acceptee, options)
    : await listenWithDeno(path, acceptee, options);
  if (typeof listener === "string") return listener;
  publish({ type: "control.opened", path });
  return listener;
}

async function listenWithKernel(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<LocalListener | string> {
  const isOther = await Deno.lstat(path).then((file) => !file.isSocket, () => false);
  if (isOther) return "a file that is no socket is in the way";
  const listener = listenLocally(path, acceptee, options);
  if ("finished" in listener) return listener;
  const { holder, reason } = listener;
  return holder === undefined ? reason : `process ${holder} listens there already`;
}

/** Listens with Deno's sockets, for systems without ours. The users of the clients are then unknown. */
async function listenWithDeno(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<LocalListener | string> {
  const listener = await bind({ kind: "unix", path }, options);
  if (typeof listener === "string") {
    return listener === "address in use" ? "another process listens there already" : listener;
  }
  const finished = serveListener(listener, acceptee, options);
  finished.catch(() => {});
  return {
    finished,
    async [Symbol.asyncDispose]() {
      closeListener(listener);
      await finished.catch(() => {});
    },
  };
}
