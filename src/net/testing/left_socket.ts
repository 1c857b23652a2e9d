/** A listening socket as another process leaves it to this one. */
import type { Address } from "../../base/address.ts";
import { Libc } from "../../linux/libc.ts";
import { addressOfSockaddr, literalSockaddr } from "../../linux/sockaddr.ts";
import type { PassedListener, ReceivedPort } from "../handover.ts";

/** The socket, and where it goes back to if it is lent. */
export interface LeftSocket extends ReceivedPort {
  readonly address: Address;
  readonly descriptor: number;
  readonly back: PassedListener[];
}

/** Listens at `asked`, by default at a free port, and leaves the socket. Whoever takes it closes it. */
export function leaveSocket(
  asked: Address = { kind: "tcp", host: "127.0.0.1", port: 0 },
  isLent = false,
): LeftSocket {
  using libc = new Libc();
  const descriptor = libc.listen(literalSockaddr(asked)!, { backlog: 64, userTimeoutMs: 0 });
  if (descriptor < 0) throw new Error(`listen: ${descriptor}`);
  const address = asked.kind === "unix" ? asked : addressOfSockaddr(libc.localAddress(descriptor));
  let left: PassedListener | undefined = {
    owner: { is: "service", name: "a" },
    address: "as asked",
    descriptor,
    isLent,
  };
  const back: PassedListener[] = [];
  return {
    address,
    descriptor,
    back,
    take() {
      const taken = left;
      left = undefined;
      return taken;
    },
    giveBack: (listener) => void back.push(listener),
  };
}
