/** Listeners of Deno's whose sockets pass to another process. Deno does not tell their descriptors. */
import type { Address } from "../../base/address.ts";
import { Libc } from "../../linux/libc.ts";
import { openDescriptors } from "../../linux/open_descriptors.ts";
import { listensAt } from "../../linux/received_socket.ts";
import { addressOfSockaddr } from "../../linux/sockaddr.ts";
import { kernelUnsupportedReason } from "../../linux/unsupported_reason.ts";
import type { PassedListener } from "../handover.ts";
import { addressOfDeno } from "./conn.ts";

/** A socket that can be handed over. */
export type PassedSocket = Pick<PassedListener, "descriptor" | "isLent">;

type Listener = Pick<Deno.Listener, "addr" | "close">;

/** The socket of a listener that is open; undefined where it cannot be found. It stays the listener's. */
export function passedSocket(listener: Listener): PassedSocket | undefined {
  if ("passed" in listener) {
    const { descriptor, isLent } = listener.passed as PassedListener;
    return { descriptor, isLent: isLent === true };
  }
  if (kernelUnsupportedReason() !== undefined) return undefined;
  using libc = new Libc();
  const where = addressOfDeno(listener.addr);
  for (const descriptor of openDescriptors((fd) => libc.isOpen(fd))) {
    const at = listensAt(descriptor);
    if (at !== undefined && isSame(addressOfSockaddr(at), where)) {
      return { descriptor, isLent: false };
    }
  }
}

/** Closes a listener whose socket another process has: the file of a unix socket stays. */
export function leaveListener(listener: Listener): void {
  if ("leave" in listener) return void (listener as { leave(): void }).leave();
  const { addr } = listener;
  if (addr.transport !== "unix") return listener.close();
  // Deno removes the file, so that is out of its way for the moment, which lasts some microseconds.
  const aside = `${addr.path}.${Deno.pid}`;
  try {
    Deno.renameSync(addr.path, aside);
  } catch {
    // It is gone, or must not be touched.
    return listener.close();
  }
  try {
    listener.close();
  } finally {
    Deno.renameSync(aside, addr.path);
  }
}

function isSame(one: Address, other: Address): boolean {
  if (one.kind === "unix" || other.kind === "unix") {
    return one.kind === "unix" && other.kind === "unix" && one.path === other.path;
  }
  return one.host === other.host && one.port === other.port;
}
